"""What hosts of a fleet tell and ask one another, by a real server."""

import asyncio
import time
from asyncio import Event, Queue, Task

import pytest
from msgspec.structs import replace

from acekeeper.core.fleet.facts import (
    BeatHeard,
    ChangeHeard,
    FleetFact,
    LinkDown,
    LinkUp,
    SnapshotHeard,
)
from acekeeper.core.fleet.model import Position
from acekeeper.core.gateway.model import Declined, Elsewhere, NotPlayed, PlayAsk
from acekeeper.errors import Failure, NoAnswer

from ..nats import LIMIT_S, Authority
from .fleet_node import FULL, Fleet, Node, client, drained, never, settled, subject
from .test_nats_wire import ASK, DIGEST, ENGINES, THERE

# What hosts say.


async def test_hosts_hear_each_other(fleet: Fleet) -> None:
    a, b = await fleet.meet()
    assert a.bus.is_up
    assert b.bus.is_up
    a.bus.changed(Position("e", 1), DIGEST, ENGINES, ["engine-1"])
    heard = await b.hear(ChangeHeard)
    assert heard == ChangeHeard(
        host="a", at=Position("e", 1), digest=DIGEST, up=ENGINES, gone=("engine-1",)
    )
    a.bus.sync("b")
    assert await b.next_asked() == ("a", "sync")
    b.bus.snapshot("a", Position("e", 9), DIGEST, ENGINES)
    assert await a.hear(SnapshotHeard) == SnapshotHeard(
        host="b", at=Position("e", 9), digest=DIGEST, engines=ENGINES
    )
    a.bus.drop("b", "r-1")
    assert await b.next_asked() == ("a", "r-1")


async def test_a_host_is_not_told_what_it_says_itself(fleet: Fleet) -> None:
    a, b = await fleet.meet()
    a.bus.changed(Position("e", 1), DIGEST, ENGINES, [])
    await b.hear(ChangeHeard)
    b.bus.changed(Position("e", 2), DIGEST, ENGINES, [])
    await a.hear(ChangeHeard, host="b", at=Position("e", 2))
    assert not [f for f in drained(a.heard) if getattr(f, "host", "") == "a"]


async def test_what_a_host_says_keeps_its_order(fleet: Fleet) -> None:
    """A beat ahead of the change that it counts would be taken for a gap."""
    a, b = await fleet.meet()
    said = list(range(1, 1001))
    for seq in said:
        a.bus.changed(Position("e", seq), DIGEST, [], [])
        a.bus.beat(Position("e", seq), DIGEST)
    heard: list[tuple[type, int]] = []
    while len(heard) < 2 * len(said):
        async with asyncio.timeout(LIMIT_S):
            fact = await b.heard.get()
        if isinstance(fact, BeatHeard | ChangeHeard) and fact.at.epoch == "e":
            heard.append((type(fact), fact.at.seq))
    assert heard == [(kind, seq) for seq in said for kind in (ChangeHeard, BeatHeard)]


# Plays.


async def test_one_host_asks_another_to_play(fleet: Fleet) -> None:
    a, b = await fleet.meet()
    asked: list[tuple[str, PlayAsk]] = []

    async def play(host: str, ask: PlayAsk) -> Elsewhere | Declined:
        asked.append((host, ask))
        return replace(THERE, host="whoever")

    b.answers = play
    assert await a.bus.play("b", ASK) == THERE
    [(host, ask)] = asked
    assert host == "a"
    assert 0 < ask.within <= ASK.within
    assert replace(ask, within=ASK.within) == ASK
    b.answers = b.full
    assert await a.bus.play("b", ASK) == FULL


async def test_a_host_that_is_not_there_is_told_at_once(fleet: Fleet) -> None:
    a = await fleet.join("a")
    await a.hear(LinkUp)
    began = time.monotonic()
    with pytest.raises(NoAnswer) as none:
        await a.bus.play("b", replace(ASK, within=2 * LIMIT_S))
    assert none.value.failure is Failure.UNREACHABLE
    assert time.monotonic() - began < LIMIT_S


async def test_a_play_waits_as_long_as_its_player(fleet: Fleet) -> None:
    a, b = await fleet.meet()
    b.answers = never
    with pytest.raises(NoAnswer) as none:
        await a.bus.play("b", replace(ASK, within=0.2))
    assert none.value.failure is Failure.TIMEOUT


async def test_plays_hold_up_nothing_else(fleet: Fleet) -> None:
    a, b = await fleet.meet()
    is_free, waiting = Event(), Queue[str]()

    async def slowly(_host: str, ask: PlayAsk) -> Elsewhere | Declined:
        waiting.put_nowait(ask.request)
        await is_free.wait()
        return THERE

    b.answers = slowly
    long = replace(ASK, within=LIMIT_S)
    plays = [asyncio.create_task(a.bus.play("b", long)) for _ in range(64)]
    async with asyncio.timeout(LIMIT_S):
        for _ in plays:
            await waiting.get()
    a.bus.changed(Position("e", 1), DIGEST, ENGINES, [])
    await b.hear(ChangeHeard)
    beyond = await a.bus.play("b", long)
    assert isinstance(beyond, Declined)
    assert beyond.why is NotPlayed.NO_ENGINE
    is_free.set()
    assert await asyncio.gather(*plays) == [THERE] * 64


async def test_a_play_goes_on_when_the_connection_was_lost(fleet: Fleet) -> None:
    """The answer that could not get back any more is not waited for there."""
    a, b = await fleet.meet()
    begun, ended = Event(), Event()

    async def play(_host: str, _ask: PlayAsk) -> Elsewhere | Declined:
        begun.set()
        try:
            return await never("", ASK)
        finally:
            ended.set()

    b.answers = play
    asked = asyncio.create_task(a.bus.play("b", replace(ASK, within=20)))
    async with asyncio.timeout(LIMIT_S):
        await begun.wait()
        fleet.servers[0].kill()
        await ended.wait()
        b.answers = at_once
        fleet.servers[0].start()
        assert await answered(asked, a) == THERE


async def answered(asked: Task[Elsewhere | Declined], a: Node) -> Elsewhere | Declined:
    """Where `a` is connected before `b` it is told at once that nobody is there."""
    while True:
        try:
            return await asked
        except NoAnswer as error:
            assert error.failure is Failure.UNREACHABLE
        await a.hear(BeatHeard)
        asked = asyncio.create_task(a.bus.play("b", ASK))


async def at_once(_host: str, _ask: PlayAsk) -> Elsewhere | Declined:
    return THERE


async def test_a_play_waits_for_a_connection(fleet: Fleet) -> None:
    a, b = await fleet.meet()
    fleet.servers[0].kill()
    await a.hear(LinkDown)
    await b.hear(LinkDown)
    b.answers = at_once
    asked = asyncio.create_task(a.bus.play("b", replace(ASK, within=LIMIT_S)))
    await asyncio.sleep(0)
    assert not asked.done()
    fleet.servers[0].start()
    assert await answered(asked, a) == THERE


async def test_an_answer_that_cannot_be_read_is_no_answer(
    fleet: Fleet, authority: Authority
) -> None:
    a = await fleet.join("a")
    await a.hear(LinkUp)
    b, _ = await client(authority, "b", fleet.servers[0])
    asked = await b.subscribe(subject("ask.b.>"))
    await settled(b)
    play = asyncio.create_task(a.bus.play("b", replace(ASK, within=LIMIT_S)))
    message = await asked.next_msg(LIMIT_S)
    await message.respond(b"yes")
    with pytest.raises(NoAnswer) as none:
        await play
    assert none.value.failure is Failure.ERROR
    await b.close()


# The end.


async def test_it_leaves_nothing_behind(fleet: Fleet) -> None:
    a, b = await fleet.meet()
    b.answers = never
    play = asyncio.create_task(a.bus.play("b", replace(ASK, within=LIMIT_S)))
    for node in (a, b):
        await node.__aexit__()
    play.cancel()
    async with asyncio.timeout(LIMIT_S):
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0)


async def test_a_defect_of_whoever_is_told_is_not_hidden(fleet: Fleet) -> None:
    a = await fleet.join("a")
    await a.hear(LinkUp)

    def fail(_fact: FleetFact) -> None:
        raise LookupError("a defect")

    async with Node("b", fleet.servers, fleet.authority.certify("b")) as b:
        b.run.cancel()
        run = b.bus.run(fail, lambda _: None, b.answers, lambda _host, _request: None)
        with pytest.raises(LookupError):
            await asyncio.wait_for(run, LIMIT_S)

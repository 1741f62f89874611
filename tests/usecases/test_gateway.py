"""What the loop does for players of the gateway."""

import asyncio
from asyncio import Task

import pytest
from msgspec.structs import force_setattr, replace

from acekeeper.core.doubt import Content
from acekeeper.core.facts import Fact
from acekeeper.core.gateway.facts import (
    PlayOpened,
    PlayRefused,
    PlaySilent,
    ReaderCame,
    ReadersSeen,
    SessionNotStopped,
    SessionRead,
    SessionStopped,
    StopAsked,
)
from acekeeper.core.gateway.model import NotPlayed, Wanted
from acekeeper.core.model import Now, Stream
from acekeeper.core.plan import Plan, plan
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.errors import EngineInUse, EngineRefused, Failure, NoAnswer
from acekeeper.usecases import loop, outcomes
from acekeeper.usecases.gateway import Failed, Outcome
from acekeeper.usecases.requests import play

from ..core.world import slot
from .conftest import MakeHouse
from .house import HeldStore, House

CONTENT = Content("infohash", "a" * 40)
WANTED = Wanted(
    content=CONTENT,
    is_hls=False,
    as_json=True,
    player="192.0.2.1",
    arrival="127.0.0.1",
    query="x=1",
)


def asks(house: House, name: str = "p", wanted: Wanted = WANTED) -> Task[Outcome]:
    return asyncio.create_task(play(house.loop, name, wanted, house.clock(), 60))


def listen(house: House) -> list[Fact]:
    """Every fact that is told from now on by what the loop does for players."""
    told: list[Fact] = []
    tell = house.loop.gateway.tell

    def hear(fact: Fact) -> object:
        told.append(fact)
        return tell(fact)

    force_setattr(house.loop.gateway, "tell", hear)
    return told


async def test_a_player_gets_the_session_that_was_opened_for_it(house: House) -> None:
    await house.open(0)
    session = await asks(house)
    assert isinstance(session, Stream)
    assert session.id == "i0|t0"
    assert house.sessions.opened == [(0, WANTED)]
    assert not house.loop.state.holds


async def test_a_play_and_its_stop_take_five_plans(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each fact, and one for what follows from an engine that was taken."""
    await house.open(0)
    await house.turns()
    planned: list[Plan] = []

    def counting(state: State, rules: Rules, now: Now) -> Plan:
        planned.append(plan(state, rules, now))
        return planned[-1]

    monkeypatch.setattr(loop, "plan", counting)
    session = await asks(house)
    assert isinstance(session, Stream)
    house.loop.tell(ReaderCame(session.id))
    house.loop.tell(SessionRead(session.id))
    await house.turns()
    assert len(planned) == 3
    house.loop.tell(StopAsked(session.id))
    await house.until(lambda: not house.loop.state.holds)
    await house.turns()
    assert len(planned) == 5


async def test_who_takes_the_last_free_engine_has_another_one_started(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing is heard of the one that was asked, and nothing else happens."""
    monkeypatch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
    house = make_house(HeldStore(), min_replicas=1)
    await house.open(0)
    assert not house.runtime.calls
    waiting = asks(house)
    await house.until(lambda: house.runtime.calls)
    assert not house.sessions.opened
    waiting.cancel()


async def test_it_is_given_it_when_it_is_on_disk_or_soon(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = HeldStore()
    house = make_house(store)
    await house.open(0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
        first = asks(house)
        await house.until(lambda: store.writes[-1][0].holds)
        store.release()
        await house.until(lambda: house.loop.state.streams)
        await house.turns()
        assert not first.done()
        store.release()
        assert isinstance(await first, Stream)
    assert isinstance(await asks(house, "second"), Stream)  # nobody releases this one


async def test_what_is_asked_of_an_engine_is_on_disk_before_or_soon(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = HeldStore()
    house = make_house(store)
    await house.open(0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
        first = asks(house)
        await house.until(lambda: house.loop.state.holds)
        await house.turns()
        assert not house.sessions.opened
        [held] = [c.holds for c, _ in store.writes if c.holds]
        assert [hold.content for holds in held.values() for hold in holds] == [CONTENT]
        store.release()
        await house.until(lambda: house.sessions.opened)
    second = asks(house, "second", replace(WANTED, content=Content("infohash", "b" * 40)))
    await house.until(lambda: len(house.sessions.opened) == 2)  # nobody releases this one
    for waiting in (first, second):
        waiting.cancel()


async def test_no_engine_is_asked_after_the_end(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
    store = HeldStore()
    house = make_house(store)
    await house.open(0)
    waiting = asks(house)
    await house.until(lambda: house.loop.state.holds)
    await house.loop.close()
    store.release()
    await house.turns()
    assert not house.sessions.opened
    waiting.cancel()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (EngineRefused("no such content"), PlayRefused(slot(0), "start-1", "p", "no such content")),
        (
            NoAnswer("hung up", failure=Failure.BROKEN),
            PlaySilent(slot(0), "start-1", "p", "hung up", broken=True),
        ),
        (
            NoAnswer("no answer", failure=Failure.TIMEOUT),
            PlaySilent(slot(0), "start-1", "p", "no answer", broken=False),
        ),
        (
            EngineInUse("got newer download"),
            PlaySilent(slot(0), "start-1", "p", "got newer download", broken=True, excused=True),
        ),
        (
            ValueError("a defect"),
            PlaySilent(slot(0), "start-1", "p", "ValueError('a defect')", True, excused=True),
        ),
    ],
)
async def test_what_an_engine_says_instead_is_told(
    house: House, answer: Exception, expected: Fact
) -> None:
    await house.open(0)
    told = listen(house)
    house.sessions.answers[0] = answer
    waiting = asks(house)
    await house.until(lambda: told)
    assert told[0] == expected
    waiting.cancel()


async def test_an_engine_is_excused_while_we_are_late_ourselves(house: House) -> None:
    await house.open(0)
    told = listen(house)
    house.sessions.answers[0] = NoAnswer("no answer", failure=Failure.TIMEOUT)
    house.sessions.go_on.clear()
    waiting = asks(house)
    await house.until(lambda: house.sessions.opened)
    house.clock.ahead += 5
    house.sessions.go_on.set()
    await house.until(lambda: told)
    assert isinstance(told[0], PlaySilent)
    assert told[0].excused
    waiting.cancel()


async def test_who_gets_nothing_is_told_why(house: House) -> None:
    await house.open(0)
    house.sessions.answers[0] = EngineRefused("no such content")
    failed = await asks(house)
    assert isinstance(failed, Failed)
    assert (failed.why, failed.words) == (NotPlayed.REFUSED, "no such content")


async def test_a_player_that_leaves_does_not_end_what_was_asked_for_it(house: House) -> None:
    await house.open(0)
    told = listen(house)
    house.sessions.go_on.clear()
    waiting = asks(house)
    await house.until(lambda: house.sessions.opened)
    waiting.cancel()
    await house.until(lambda: not house.loop.state.plays)
    house.sessions.go_on.set()
    await house.until(lambda: not house.loop.state.holds)
    assert isinstance(told[0], PlayOpened)
    assert isinstance(told[1], SessionStopped)
    assert house.engines.asked == ["stop 19000 t0"]
    assert not house.loop.state.streams


@pytest.mark.parametrize("is_given", [False, True])
async def test_a_player_that_leaves_before_it_has_its_session_gives_it_back(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, is_given: bool
) -> None:
    """While that is written to disk, or in the very moment in which it gets it."""
    monkeypatch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
    store = HeldStore()
    house = make_house(store)
    await house.open(0)
    waiting = asks(house)
    await house.until(lambda: house.loop.state.holds)
    store.release()
    state = house.loop.state
    await house.until(lambda: state.streams and not state.plays)
    [session] = state.streams.values()
    if is_given:
        assert house.loop.gateway.outcomes.resolve("p", session)
    waiting.cancel()
    await house.turns()
    store.release()
    await house.until(lambda: house.engines.asked == ["stop 19000 t0"])
    await house.until(lambda: not state.holds)


@pytest.mark.parametrize("is_hls", [False, True])
async def test_what_nobody_knows_of_an_open_is_opened_once_more_and_stopped(
    house: House, is_hls: bool
) -> None:
    await house.open(0)
    house.sessions.answers[0] = NoAnswer("no answer", failure=Failure.TIMEOUT)
    waiting = asks(house, wanted=replace(WANTED, is_hls=is_hls))
    await house.until(lambda: house.sessions.opened)
    waiting.cancel()
    del house.sessions.answers[0]
    house.clock.ahead += 6  # a stop is asked again
    house.loop.tell(StopAsked("nobody"))
    await house.until(lambda: not house.loop.state.holds)
    _, again = house.sessions.opened[-1]
    assert (again.content, again.is_hls) == (CONTENT, is_hls)
    assert "stop 19000 t0" in house.engines.asked


async def test_a_stop_that_an_engine_does_not_answer_is_told(house: House) -> None:
    await house.open(0)
    session = await asks(house)
    assert isinstance(session, Stream)
    told = listen(house)
    house.engines.silent = {0}
    house.loop.tell(StopAsked(session.id))
    await house.until(lambda: told)
    assert isinstance(told[0], SessionNotStopped)
    assert told[0].why == "no answer within 5 s"
    assert house.loop.state.holds


async def test_an_engine_that_has_no_such_content_has_no_session_of_it(house: House) -> None:
    await house.open(0)
    house.sessions.answers[0] = NoAnswer("no answer", failure=Failure.TIMEOUT)
    waiting = asks(house)
    await house.until(lambda: house.sessions.opened)
    waiting.cancel()
    house.sessions.answers[0] = EngineRefused("no such content")
    house.clock.ahead += 6
    house.loop.tell(StopAsked("nobody"))
    await house.until(lambda: not house.loop.state.holds)


async def test_a_look_tells_which_engines_have_a_reader(house: House) -> None:
    await house.open(0, 1)
    told = listen(house)
    house.connections.callers[1] = frozenset({"somebody"})
    before = house.clock()
    await house.loop.gateway.look()
    [seen] = told
    assert isinstance(seen, ReadersSeen)
    assert seen.at.mono >= before.mono
    assert {where for where, _ in seen.read} == {slot(1)}


async def test_a_look_that_fails_ends_nobodys_session(house: House) -> None:
    await house.open(0, 1)
    told = listen(house)
    force_setattr(house.loop.gateway, "see", fails)
    await house.loop.gateway.look()
    [seen] = told
    assert isinstance(seen, ReadersSeen)
    assert {where for where, _ in seen.read} == {slot(0), slot(1)}


async def fails() -> None:
    raise OSError("no such table")

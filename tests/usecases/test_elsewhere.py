"""Hosts that play for one another, over a message system within the test."""

import asyncio
import ipaddress
import math
from asyncio import Event
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from acekeeper.core.doubt import Content
from acekeeper.core.facts import MaintenanceRequested
from acekeeper.core.fleet.actions import AskHost, Drop, FleetAction
from acekeeper.core.fleet.model import Digest, Link, Replica
from acekeeper.core.gateway.facts import StopAsked
from acekeeper.core.gateway.model import Declined, Elsewhere, NotPlayed, PlayAsk, Wanted
from acekeeper.core.model import Stream
from acekeeper.errors import EngineRefused, Failure, NoAnswer
from acekeeper.usecases.elsewhere import Plays
from acekeeper.usecases.gateway import Failed, Outcome
from acekeeper.usecases.protocols import Bus
from acekeeper.usecases.requests import play

from .conftest import MakeHouse
from .house import House
from .test_gateway import WANTED, asks

PLAYERS = [ipaddress.ip_network("192.0.2.0/24")]
OTHER = replace(WANTED, content=Content("infohash", "b" * 40), player="192.0.2.9")


class Wire:
    """What one host asks another one; `away`: those that are not there; `silent`: those that hear
    nothing."""

    def __init__(self) -> None:
        self.plays: dict[str, Plays] = {}
        self.away: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[tuple[str, PlayAsk]] = []
        self.answers: list[tuple[str, str]] = []

    def bus(self, me: str) -> Bus:
        return cast("Bus", OneBus(self, me))


class OneBus:
    def __init__(self, wire: Wire, me: str) -> None:
        self._wire = wire
        self._me = me

    async def play(self, host: str, ask: PlayAsk) -> Elsewhere | Declined:
        self._wire.asked.append((host, ask))
        if host in self._wire.away:
            raise NoAnswer("nobody is there", failure=Failure.UNREACHABLE)
        if host in self._wire.silent:
            await Event().wait()
        return await self._wire.plays[host].asked(self._me, ask)

    def drop(self, host: str, request: str) -> None:
        self._wire.plays[host].dropped(self._me, request)


MakeHost = Callable[..., Any]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def make_host(make_house: MakeHouse, tmp_path: Path, wire: Wire) -> MakeHost:
    """A host with so many engines, of which it starts no more unless it is told to."""

    async def make(
        name: str, engines: int = 1, may_name_urls: bool = False, **numbers: Any
    ) -> House:
        address = f"198.51.100.{ord(name)}"
        given = {
            "max_replicas": engines,
            "fleet_host": name,
            "fleet_address": address,
            "addresses": ("127.0.0.1", address),
            "host_answers": 0.1,
            **numbers,
        }
        house = make_house(db=tmp_path / f"{name}.db", **given)
        house.runtime.there = ("127.0.0.1", address)
        origin = f"http://{address}:6878"
        plays = Plays(
            house.loop,
            wire.bus(name),
            PLAYERS,
            may_name_urls,
            origin,
            lambda host, answer: wire.answers.append((host, answer)),
        )

        def take(action: FleetAction) -> None:
            match action:
                case AskHost():
                    plays.ask(action)
                case Drop():
                    plays.drop(action)
                case _:
                    raise AssertionError(action)

        house.loop.take_in_fleet = take
        wire.plays[name] = plays
        await house.open(*range(engines))
        return house

    return make


def knows(house: House, **free: int) -> None:
    """Of other hosts: how many engines they have free."""
    house.loop.state.fleet.link = Link(is_up=True)
    for name, count in free.items():
        digest = Digest(version="1", engines=count, free=count, room=0, streams=0)
        replica = Replica(host=name, digest=digest, heard=math.inf, since=0.0, is_whole=True)
        house.loop.state.fleet.put(replica)


def sessions(house: House) -> list[Stream]:
    return [s for s in house.loop.state.streams.values() if s.ended is None]


async def full(make_host: MakeHost, **numbers: Any) -> House:
    """A host whose only engine plays."""
    house: House = await make_host("a", 1, **numbers)
    assert isinstance(await asks(house, "first"), Stream)
    return house


async def test_a_player_of_a_full_host_plays_from_another_one(
    make_host: MakeHost, wire: Wire
) -> None:
    a, b = await full(make_host), await make_host("b")
    knows(a, b=1)
    got = await asks(a, "p", OTHER)
    assert isinstance(got, Elsewhere)
    assert (got.host, got.origin, got.is_hls) == ("b", "http://198.51.100.98:6878", False)
    [session] = sessions(b)
    assert session.gateway
    assert got.opening == session.gateway.opening
    assert session.gateway.player == OTHER.player
    assert session.gateway.arrival == "198.51.100.98"
    assert session.key == OTHER.content.key
    assert session.gateway.query == "x=1"
    assert wire.answers == [("b", "played")]
    assert "played_elsewhere" in a.kinds()


@pytest.mark.parametrize("player", ["127.0.0.1", "192.0.2.77"])
async def test_a_player_on_the_asking_host_is_known_by_the_address_of_that(
    make_host: MakeHost, wire: Wire, player: str
) -> None:
    """At which it comes to the other one, whatever way it came to this one."""
    wire.plays.clear()
    a = await full(make_host, fleet_address="192.0.2.1")
    b = await make_host("b")
    knows(a, b=1)
    wanted = replace(OTHER, player=player, arrival=player)
    a.runtime.there = (player,)
    assert isinstance(await asks(a, "p", wanted), Elsewhere)
    [session] = sessions(b)
    assert session.gateway
    assert session.gateway.player == "192.0.2.1"


@pytest.mark.parametrize("trouble", ["away", "silent", "full"])
async def test_where_a_host_does_not_play_the_next_one_does(
    make_host: MakeHost, wire: Wire, trouble: str
) -> None:
    a = await full(make_host)
    for name in "bc":
        await make_host(name)
    knows(a, b=1, c=1)
    wanted = replace(OTHER, as_json=False)  # of which none shares a session
    probe = asyncio.create_task(play(a.loop, "probe", wanted, a.clock(), 60))
    await a.until(lambda: wire.asked)
    first = wire.asked[0][0]
    got = await probe
    assert isinstance(got, Elsewhere)
    second = "c" if first == "b" else "b"
    match trouble:
        case "away":
            wire.away.add(first)
        case "silent":
            wire.silent.add(first)
        case _:
            pass  # the one engine of it plays for the probe
    knows(a, b=1, c=1)
    got = await asks(a, "p", wanted)
    assert isinstance(got, Elsewhere)
    assert got.host == second
    assert [host for host, ask in wire.asked if ask.request == "p"] == [first, second]


async def test_a_host_that_starts_an_engine_for_a_player_of_another_one(
    make_host: MakeHost, wire: Wire
) -> None:
    a, b = await full(make_host), await make_host("b", 0, max_replicas=1)
    knows(a, b=1)  # it thought so
    digest = a.loop.state.fleet.hosts["b"].digest
    said = replace(a.loop.state.fleet.hosts["b"], digest=replace(digest, room=1))
    a.loop.state.fleet.put(said)
    got = await asks(a, "p", OTHER)
    assert isinstance(got, Elsewhere)
    assert [ask.may_start for _, ask in wire.asked] == [False, True]
    assert wire.answers == [("b", "no_engine"), ("b", "played")]
    assert len(sessions(b)) == 1


async def test_what_a_host_refuses_is_refused(make_host: MakeHost) -> None:
    a, b = await full(make_host), await make_host("b")
    knows(a, b=1)
    b.sessions.answers[0] = EngineRefused("no such content")
    got = await asks(a, "p", OTHER)
    assert got == Failed(NotPlayed.REFUSED, "no such content", 0)


async def test_in_maintenance_players_are_sent_to_another_host(make_host: MakeHost) -> None:
    a, b = await make_host("a"), await make_host("b")
    knows(a, b=1)
    a.loop.tell(MaintenanceRequested())
    assert isinstance(await asks(a, "p", OTHER), Elsewhere)
    assert len(sessions(b)) == 1


async def test_the_session_of_a_player_that_hangs_up_ends_there(make_host: MakeHost) -> None:
    a, b = await full(make_host), await make_host("b")
    knows(a, b=1)
    b.sessions.go_on.clear()
    waiting = asks(a, "p", OTHER)
    await b.until(lambda: b.sessions.opened)
    waiting.cancel()
    await b.until(lambda: not b.loop.state.plays)
    b.sessions.go_on.set()
    await b.until(lambda: not b.loop.state.holds)
    assert not sessions(b)


@pytest.mark.parametrize("hears_first", [True, False])
async def test_and_so_it_does_when_its_answer_was_on_its_way(
    make_host: MakeHost, hears_first: bool
) -> None:
    a, b = await full(make_host), await make_host("b")
    knows(a, b=1)
    resolve = a.loop.gateway.outcomes.resolve
    given: list[Outcome] = []

    def in_the_same_instant(request: str, outcome: Outcome) -> bool:
        given.append(outcome)
        if not hears_first:
            waiting.cancel()
        is_heard = resolve(request, outcome)
        waiting.cancel()
        return is_heard

    a.loop.gateway.outcomes.resolve = in_the_same_instant  # type: ignore[method-assign]
    waiting = asks(a, "p", OTHER)
    await b.until(lambda: given and not sessions(b))
    assert isinstance(given[0], Elsewhere)
    assert [s.reason for s in b.loop.state.streams.values()] == ["stopped"]


def ask(name: str = "p", *, may_start: bool = True, **changes: Any) -> PlayAsk:
    wanted: Wanted = replace(OTHER, **changes)
    return PlayAsk(request=name, wanted=wanted, within=5.0, may_start=may_start)


async def test_the_same_request_gets_the_same_session(make_host: MakeHost, wire: Wire) -> None:
    b, plays = await make_host("b", 2), wire.plays
    once = ask(as_json=False)  # so that it shares no session
    first, second = await asyncio.gather(plays["b"].asked("a", once), plays["b"].asked("a", once))
    assert isinstance(first, Elsewhere)
    assert first == second == await plays["b"].asked("a", once)
    assert len(b.sessions.opened) == 1
    assert isinstance(await plays["b"].asked("c", once), Elsewhere)  # another's of that name
    assert len(b.sessions.opened) == 2


async def test_the_same_request_is_played_again_once_its_session_has_ended(
    make_host: MakeHost, wire: Wire
) -> None:
    """Its answer was lost, and nobody came for the picture."""
    b, plays = await make_host("b", 2), wire.plays
    once = ask(as_json=False)
    assert isinstance(await plays["b"].asked("a", once), Elsewhere)
    [session] = sessions(b)
    b.loop.tell(StopAsked(session.id))
    assert isinstance(await plays["b"].asked("a", once), Elsewhere)
    assert len(b.sessions.opened) == 2
    [anew] = sessions(b)
    assert anew.id != session.id


async def test_what_was_given_up_before_it_was_heard_opens_nothing(
    make_host: MakeHost, wire: Wire
) -> None:
    b = await make_host("b")
    wire.plays["b"].dropped("a", "p")
    got = await wire.plays["b"].asked("a", ask())
    assert isinstance(got, Declined)
    assert not b.sessions.opened


async def test_what_is_given_up_twice_ends_once(make_host: MakeHost, wire: Wire) -> None:
    b = await make_host("b")
    assert isinstance(await wire.plays["b"].asked("a", ask()), Elsewhere)
    for _ in range(2):
        wire.plays["b"].dropped("a", "p")
    assert not sessions(b)


async def test_where_nobody_waits_for_the_answer_nothing_is_opened(
    make_host: MakeHost, wire: Wire
) -> None:
    b = await make_host("b")
    b.sessions.go_on.clear()
    waiting = asyncio.create_task(wire.plays["b"].asked("a", ask()))
    await b.until(lambda: b.sessions.opened)
    waiting.cancel()
    await b.until(lambda: not b.loop.state.plays)
    b.sessions.go_on.set()
    await b.until(lambda: not b.loop.state.holds)
    assert not sessions(b)
    assert isinstance(await wire.plays["b"].asked("a", ask()), Elsewhere)  # on the next connection


async def test_a_request_that_is_given_up_while_it_waits_is_answered(
    make_host: MakeHost, wire: Wire
) -> None:
    b = await make_host("b")
    b.sessions.go_on.clear()
    waiting = asyncio.create_task(wire.plays["b"].asked("a", ask()))
    await b.until(lambda: b.sessions.opened)
    wire.plays["b"].dropped("a", "p")
    assert isinstance(await waiting, Declined)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"player": "203.0.113.1"},
            "only players of the networks of GATEWAY_ALLOW may play here",
        ),
        ({"player": "somebody"}, "'somebody' does not appear to be an IPv4 or IPv6 address"),
        ({"content": Content("infohash", "b")}, "is not 40 hexadecimal digits"),
        ({"content": Content("raw", "b")}, "'raw' is not a valid KeyType"),
        (
            {"content": Content("url", "http://192.0.2.1/a")},
            "no url is opened here, unless GATEWAY_ALLOW_URLS is set",
        ),
        ({"query": "x" * 9000}, "the query is longer than 8192 bytes"),
        ({"query": "&".join(f"a{n}=1" for n in range(65))}, "Max number of fields exceeded"),
    ],
)
async def test_what_the_door_would_not_admit_is_declined(
    make_host: MakeHost,
    wire: Wire,
    logged: list[Any],
    changes: dict[str, Any],
    words: str,
) -> None:
    b = await make_host("b")
    got = await wire.plays["b"].asked("a", ask(**changes))
    assert got == Declined(NotPlayed.NO_ENGINE, words)
    assert not b.loop.state.plays
    assert not b.sessions.opened
    [record] = [r for r in logged if r["message"] == "player_not_admitted"]
    assert record["extra"]["why"] == words


async def test_what_is_passed_on_names_no_other_content(make_host: MakeHost, wire: Wire) -> None:
    b = await make_host("b", may_name_urls=True)
    named = Content("url", "http://192.0.2.1/a")
    said = "x=1&infohash=z&format=json&y=a b"
    got = await wire.plays["b"].asked("a", ask(content=named, query=said))
    assert isinstance(got, Elsewhere)
    [(_, opened)] = b.sessions.opened
    assert opened.content == named
    assert opened.query == "x=1&y=a+b"


async def test_a_player_on_this_very_host_may_ask_for_it_through_another_one(
    make_host: MakeHost, wire: Wire
) -> None:
    await make_host("b")
    assert isinstance(await wire.plays["b"].asked("a", ask(player="198.51.100.98")), Elsewhere)


async def test_a_host_waits_no_longer_than_its_own_players(make_host: MakeHost, wire: Wire) -> None:
    b = await make_host("b", 0, max_replicas=0)
    waiting = asyncio.create_task(wire.plays["b"].asked("a", replace(ask(), within=1e9)))
    await b.until(lambda: b.loop.state.plays)
    [waits] = b.loop.state.plays.values()
    assert waits.until - b.clock().mono <= b.loop.rules.gateway_wait
    assert (waits.id, waits.for_host) == ("a:p", "a")
    waiting.cancel()


async def test_a_defect_is_declined(
    make_host: MakeHost, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_host("b")

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("acekeeper.usecases.elsewhere.play_here", broken)
    got = await wire.plays["b"].asked("a", ask())
    assert got == Declined(NotPlayed.NO_ENGINE, "ZeroDivisionError()")


async def test_what_is_remembered_of_requests_is_bounded(
    make_host: MakeHost, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_host("b")
    monkeypatch.setattr("acekeeper.usecases.elsewhere._KNOWN_MOST", 3)
    for n in range(9):
        wire.plays["b"].dropped("a", f"p{n}")
    assert [name for _, name in wire.plays["b"]._known] == ["p6", "p7", "p8"]

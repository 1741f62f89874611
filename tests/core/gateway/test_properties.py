"""Players of the gateway and clients of the API at one pool, whose engines open, refuse, hang, stop
and die in any order, and whose acekeeper may be killed at any moment."""

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from acekeeper.adapters import rows
from acekeeper.adapters.database import read
from acekeeper.core.doubt import Content
from acekeeper.core.facts import AnswerLost, RuntimeConnected, ScaleRequested
from acekeeper.core.gateway.facts import PlayerLeft, SessionRead, StopAsked
from acekeeper.core.gateway.model import Hold, Ref
from acekeeper.core.model import Engine, KeyType, Phase, Stream
from acekeeper.core.names import Slot

from ..test_any_day import SMALL
from ..test_crashes import MortalWorld
from .players import LOST, Manners, Players, channel

numbers = st.integers(0, 5)
pauses = st.sampled_from([0.0, 0.1, 0.5, 2.6, 7.0, 16.0, 31.0, 125.0])
forms = st.sampled_from(["", "json", "hls"])
_DEEDS = ["come", "go", "stop", "stay", "lose", "read", "move", "move"]
_COMES_AFTER = 5.0  # a client of the API sleeps before it plays


class MortalPlayers(Players, MortalWorld):
    def __init__(self) -> None:
        super().__init__(SMALL)

    def want(self, name: str, n: int, form: str = "", **more: Any) -> None:
        """Of six contents: each infohash has a content id as well."""
        wanted = Content(KeyType.CONTENT_ID.value, f"{n:040x}") if n % 2 else channel(n)
        self.ask(name, wanted, json=form == "json", hls=form == "hls", **more)


class Viewers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = MortalPlayers()
        self.plays = 0
        self.requests = 0
        self.given: set[str] = set()  # requests whose viewer is on its way
        self.begun: list[str] = []  # streams of the API's clients

    @initialize(engines=st.integers(0, 4), streams=st.sampled_from([1, 1, 2]))
    def begin(self, engines: int, streams: int) -> None:
        self.world.rules = replace(SMALL, max_streams_per_engine=streams)
        self.world.connect()
        self.world.tell(ScaleRequested(engines))
        self.world.run(10)

    # Players.

    @rule(n=numbers, form=forms, player=st.integers(1, 3), within=st.sampled_from([9.0, 25.0]))
    def play(self, n: int, form: str, player: int, within: float) -> None:
        self.plays += 1
        name, address = f"p{self.plays}", f"192.0.2.{player}"
        self.world.want(name, n, form, player=address, within=within)

    @precondition(lambda self: self.world.state.plays)
    @rule(n=numbers)
    def hang_up(self, n: int) -> None:
        plays = list(self.world.state.plays)
        self.world.tell(PlayerLeft(plays[n % len(plays)]))

    @precondition(lambda self: self.world.state.readers)
    @rule(n=numbers, deed=st.sampled_from(_DEEDS))
    def act(self, n: int, deed: str) -> None:
        world = self.world
        streams = list(world.state.readers)
        stream = world.state.streams[streams[n % len(streams)]]
        match deed:
            case "come" if not _is_hls(stream):  # HLS is read by its list alone
                world.come(stream.id)
            case "go":
                world.go(stream.id)
            case "stop":
                world.go(stream.id)
                world.tell(StopAsked(stream.id))
            case "stay":  # though the session is stopped
                world.tell(StopAsked(stream.id))
            case "lose":  # it hung up before its answer was out
                world.go(stream.id)
                world.tell(PlayerLeft("gone", stream.id))
            case "move" if stream.gateway is not None:
                self.plays += 1
                gateway = stream.gateway
                form = "hls" if gateway.is_hls else "json" if gateway.as_json else ""
                n, player = int(stream.key, 16), gateway.player
                name = f"p{self.plays}"
                world.want(name, n, form, player=player, within=9, instead_of=stream.id)
            case _:
                world.tell(SessionRead(stream.id))

    # Clients of the API.

    @rule()
    def request(self) -> None:
        self.requests += 1
        self.given.add(f"r{self.requests}")
        self.world.request(f"r{self.requests}")

    @precondition(lambda self: self.world.state.requests)
    @rule()
    def abandon(self) -> None:
        name = next(iter(self.world.state.requests))
        self.given.discard(name)
        self.world.tell(AnswerLost(name))

    @rule()
    def both_at_once(self) -> None:
        """A player and a client in the same instant."""
        world = self.world
        self.plays += 1
        self.requests += 1
        player, client = f"p{self.plays}", f"r{self.requests}"
        self.given.add(client)
        world.want(player, self.plays % 6, within=9)
        world.request(client)
        given = world.answers.get(client)
        if isinstance(given, Engine) and world.rules.max_streams_per_engine == 1:
            assert given.ref not in world.asked(player)

    @rule()
    def they_play(self) -> None:
        """Those that were given an engine and have slept."""
        for name in sorted(self.given):
            given = self.world.answers.get(name)
            if given is None or self.world.time - self.world.answered_at[name] < _COMES_AFTER:
                continue
            self.given.discard(name)
            current = isinstance(given, Engine) and self.world.state.current(
                given.slot, given.incarnation
            )
            if current and current.claim == name:
                self.begun.append(f"s-{name}")
                self.world.play(current.slot, f"s-{name}", key=f"{self.requests + 100:040x}")

    @precondition(lambda self: self.begun)
    @rule(n=numbers)
    def leave(self, n: int) -> None:
        self.world.leave(self.begun.pop(n % len(self.begun)))

    # Engines.

    @rule(
        opens_after=st.sampled_from([0.0, 0.2, 0.2, 2.0, 3.5, 8.0, 122.0, math.inf]),
        answers=st.sampled_from(["opened", "opened", "opened", "refused", "broken", LOST]),
        stops_after=st.sampled_from([0.0, 0.1, 4.0]),
        stops=st.sampled_from([True, True, False]),
    )
    def behave(self, opens_after: float, answers: str, stops_after: float, stops: bool) -> None:
        self.world.manners = Manners(opens_after, answers, stops_after, stops)

    @rule(n=numbers, hung=st.booleans())
    def hang_or_wake(self, n: int, hung: bool) -> None:
        if self.world.outside:
            self.world.outside[self._slot(n)].hung = hung

    @rule(n=numbers)
    def die(self, n: int) -> None:
        if self.world.outside:
            self.world.die(self._slot(n))

    @rule(ready=st.sampled_from([0.1, 5.0, 12.0, 40.0]))
    def start(self, ready: float) -> None:
        self.world.script.ready_after = ready

    def _slot(self, n: int) -> Slot:
        slots = sorted(self.world.outside)
        return slots[n % len(slots)]

    # Time, sweeps, and us.

    @rule(pause=pauses)
    def wait(self, pause: float) -> None:
        self.world.run(pause)

    @rule()
    def sweep(self) -> None:
        self.world.sweep_streams()
        self.world.survey()

    @rule(down=st.sampled_from([0.0, 0.0, 1.0, 40.0]))
    def crash(self, down: float) -> None:
        self.given.clear()
        self.world.crash()
        self.world.run(down)
        self._come_back()

    def _come_back(self) -> None:
        self.world.tell(RuntimeConnected())
        self.world.list_engines(self.world.running())
        self.world.survey()

    @invariant()
    def the_disk_has_what_memory_has(self) -> None:
        world, found = self.world, read(self.world.db)
        there = [rows.read_hold(row, world.now) for row in found.holds]
        held = ((ref, hold) for ref, held in world.state.holds.items() for hold in held)
        assert sorted(_kept(*h) for h in there) == sorted(_kept(*h) for h in held)
        streams = {s.id: s for row in found.started for s in [rows.read_stream(row, world.now)]}
        assert {i: s.gateway for i, s in streams.items()} == {
            i: s.gateway for i, s in world.state.streams.items() if s.ended is None
        }

    def teardown(self) -> None:
        """Left alone, everything that was opened is stopped, and nobody waits."""
        world = self.world
        world.manners = Manners()
        world.script = type(world.script)()
        world.run(1)  # who is about to connect does
        for engine in world.outside.values():
            engine.hung = False
            engine.callers.clear()
        for name in self.begun:
            world.leave(name)
        world.tell(ScaleRequested(0))
        self._come_back()
        for _ in range(60):
            world.sweep_streams()
            world.run(10)
        assert not world.state.plays
        assert not world.state.holds
        assert not world.state.readers
        assert not world.state.playing
        assert not any("|" in s for engine in world.outside.values() for s in engine.streams)
        assert [e.phase for e in world.state.engines.values()] == [Phase.RUNNING]
        assert world.planned.deadline == math.inf
        world.db.close()


def _is_hls(stream: Stream) -> bool:
    return stream.gateway is not None and stream.gateway.is_hls


def _kept(ref: Ref, hold: Hold) -> tuple[object, ...]:
    return *ref, *hold.kept


# A mark counts for more than `--timeout 0`, with which the long search is begun.
pytestmark = pytest.mark.timeout(0 if settings.get_current_profile_name() == "long" else 900)
TestViewers = Viewers.TestCase
# Fewer examples: each lives long, and has a database.
TestViewers.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=30)

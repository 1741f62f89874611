"""A pool whose acekeeper is killed at any moment, and knows afterwards what it had stored.

Between the rules and the disk is what is there in the service too, but for the thread.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable
from copy import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import asdict

from acekeeper.adapters import rows
from acekeeper.adapters.backlog import Backlog
from acekeeper.adapters.database import read, save
from acekeeper.adapters.migrations import migrate
from acekeeper.adapters.saved import decoded
from acekeeper.core.apply import apply
from acekeeper.core.changes import Changes
from acekeeper.core.facts import (
    AnswerLost,
    BreakerReset,
    DrainRequested,
    EngineStarted,
    Fact,
    Found,
    MaintenanceOver,
    MaintenanceRequested,
    RuntimeConnected,
    RuntimeLost,
    ScaleRequested,
    StopRequested,
    StreamStopped,
)
from acekeeper.core.model import Engine, Phase
from acekeeper.core.names import Slot
from acekeeper.core.restore import restore
from acekeeper.core.rules import Rules

from .test_any_day import SMALL
from .world import Outside, World

HANDS = ("drain", "stop", "end", "scale", "reset", "maintain", "over")
numbers = st.integers(0, 5)
pauses = st.sampled_from([0.0, 0.1, 0.5, 2.6, 7.0, 31.0, 65.0])


class MortalWorld(World):
    """What it does to the outside outlives it: starts that were asked for happen, stops too."""

    def __init__(self, rules: Rules = SMALL) -> None:
        super().__init__(rules)
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.db)
        self._backlog = Backlog()
        self._life = 0
        self._hears = True
        self._watches = False  # from its first list on it hears of every death
        self._named_at: dict[str, float] = {}

    def _apply(self, fact: Fact) -> Changes:
        changes = apply(self.state, self.rules, fact, self.now)
        self.happened += changes.happened
        self._backlog.add(changes, self.now.wall)
        save(self.db, self._backlog.unsaved)
        self._backlog.saved()
        self._backlog.in_database()
        return changes

    def tell(self, fact: Fact) -> None:
        if self._hears:
            super().tell(fact)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """What comes of it after a crash happens all the same, but nobody hears of it."""
        life = self._life

        def do() -> None:
            self._hears = life == self._life
            what()
            self._hears = True

        super().later(seconds, do)

    def _start(self, where: Slot) -> None:
        """At once, though its name is known only later: a crash in between leaves it running."""
        script = copy(self.script)
        if script.fails:
            super()._start(where)
            return
        name = f"start-{next(self._numbers)}"
        ready = self.now.mono + script.named_after + script.ready_after
        self.outside[where] = Outside(where, name, f"id-{name}", ready)
        self._named_at[name] = self.now.mono + script.named_after
        started = EngineStarted(where, name, f"id-{name}")
        self.later(script.named_after, lambda: self.tell(started))
        if script.lives < math.inf:
            lives = script.named_after + script.lives
            super().later(lives, lambda: self.die(where, "exited", name))

    def die(self, where: Slot, cause: str = "killed", incarnation: str = "") -> None:
        """A runtime tells of no death before it has told of the start."""
        engine = self.outside.get(where)
        if (
            engine is not None
            and (named := self._named_at.get(engine.incarnation, 0)) > self.now.mono
        ):
            wait = named - self.now.mono + 0.01
            super().later(wait, lambda: self.die(where, cause, engine.incarnation))
            return
        hears, self._hears = self._hears, self._watches  # whoever asked for it
        super().die(where, cause, incarnation)
        self._hears = hears

    def list_engines(self, found: Iterable[Found] = (), boot: str = "boot-1") -> None:
        self._watches = True
        super().list_engines(found, boot)

    def crash(self) -> None:
        self._life += 1
        self._watches = False
        found = read(self.db)
        self.state = restore(self.rules, self.now, **asdict(decoded(found, self.now, pytest.fail)))
        self._backlog = Backlog()
        self._backlog.known(found.engines, found.started, found.holds, found.early_ends, found.kept)
        self._plan()


class Pool(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = MortalWorld()
        self.asked: dict[str, float] = {}  # requests that wait for their answer
        self.requests = 0
        self.promised: dict[tuple[Slot, str], float] = {}
        self.answers = 0  # of the world's that were looked at
        self.streams: dict[str, tuple[Slot, str]] = {}  # told of, and where they are
        self.left: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.world.connect()

    @rule()
    def request(self) -> None:
        self.requests += 1
        name = f"r{self.requests}"
        self.asked[name] = self.world.time
        self.world.request(name)

    @precondition(lambda self: self.asked)
    @rule()
    def abandon(self) -> None:
        """Before its answer, so that nobody was promised anything."""
        name, _ = self.asked.popitem()
        self.world.tell(AnswerLost(name))

    @rule(n=numbers, moving=st.booleans())
    def play(self, n: int, moving: bool) -> None:
        engines = sorted(self.world.outside.values(), key=lambda e: e.slot)
        ready = [e for e in engines if self.world.answers_now(e.slot, e.incarnation)]
        known = [e for e in ready if self.world.state.current(e.slot, e.incarnation)]
        if known:
            engine = known[n % len(known)]
            name = f"s{len(self.streams)}"
            self.streams[name] = engine.slot, engine.incarnation
            self.world.play(engine.slot, name, moving=moving)

    @rule(n=numbers, reason=st.sampled_from(["eof", "timeout"]))
    def leave(self, n: int, reason: str) -> None:
        playing = [name for name in self.streams if name not in self.left]
        if playing:
            self.world.leave(self._leaving(playing[n % len(playing)]), reason)

    def _leaving(self, name: str) -> str:
        """The viewer that its engine was promised to has had it."""
        self.left.add(name)
        self.promised.pop(self.streams[name], None)
        return name

    @rule(n=numbers, hung=st.booleans())
    def hang_or_wake(self, n: int, hung: bool) -> None:
        if self.world.outside:
            self._outside(n).hung = hung

    @rule(n=numbers)
    def die(self, n: int) -> None:
        if self.world.outside:
            self.world.die(self._outside(n).slot)

    def _outside(self, n: int) -> Outside:
        engines = sorted(self.world.outside.values(), key=lambda e: e.slot)
        return engines[n % len(engines)]

    def _ref(self, n: int) -> tuple[Slot, str]:
        engine = self._outside(n)
        return engine.slot, engine.incarnation

    @rule(
        named=st.sampled_from([0.1, 1.0, 3.0]),
        ready=st.sampled_from([0.1, 5.0, 40.0, math.inf]),
        lives=st.sampled_from([math.inf, math.inf, 2.0, 20.0]),
        fails=st.sampled_from(["", "", "no image"]),
    )
    def script(self, named: float, ready: float, lives: float, fails: str) -> None:
        script = self.world.script
        script.named_after, script.ready_after = named, ready
        script.lives, script.fails = lives, fails

    @rule(n=numbers, hand=st.sampled_from(HANDS))
    def operate(self, n: int, hand: str) -> None:
        world, playing = self.world, [name for name in self.streams if name not in self.left]
        match hand:
            case "drain" if world.outside:
                world.tell(DrainRequested(*self._ref(n)))
            case "stop" if world.outside:
                world.tell(StopRequested(*self._ref(n)))
            case "end" if playing:
                name = self._leaving(playing[n % len(playing)])
                world.tell(StreamStopped(name, world.state.streams[name].session))
            case "scale":
                world.tell(ScaleRequested(n % SMALL.max_replicas))
            case "reset":
                world.tell(BreakerReset())
            case "maintain":
                world.tell(MaintenanceRequested())
            case "over":
                world.tell(MaintenanceOver())
            case _:
                pass  # there is nothing to lay a hand on

    @rule()
    def survey(self) -> None:
        self.world.survey()

    @rule()
    def list_engines(self) -> None:
        self.world.list_engines(self.world.running())

    @rule()
    def lose_the_runtime(self) -> None:
        self.world.tell(RuntimeLost("bus"))

    @rule()
    def find_the_runtime(self) -> None:
        self.world.tell(RuntimeConnected())

    @rule(pause=pauses)
    def wait(self, pause: float) -> None:
        self.world.run(pause)

    @rule(down=st.sampled_from([0.0, 0.0, 1.0, 40.0]), meanwhile=st.none() | numbers)
    def crash(self, down: float, meanwhile: int | None) -> None:
        """An engine may die while nobody looks."""
        self.asked.clear()
        self.world.crash()
        if meanwhile is not None and self.world.outside:
            del self.world.outside[self._outside(meanwhile).slot]
        self.world.run(down)
        self.world.tell(RuntimeConnected())
        self.world.list_engines(self.world.running())
        self.world.survey()

    @invariant()
    def every_request_is_answered_once_and_in_time(self) -> None:
        answers = list(self.world.answers.items())
        for name, outcome in answers[self.answers :]:
            self.asked.pop(name, None)
            if isinstance(outcome, Engine):
                at = self.world.answered_at[name]
                before = self.promised.get(outcome.ref, -math.inf)
                assert at - before >= SMALL.rest_after_hand_out - 1e-6, "promised to two"
                self.promised[outcome.ref] = at
        self.answers = len(answers)
        for asked in self.asked.values():
            assert self.world.time - asked < SMALL.answer_within + 1e-6

    @invariant()
    def never_do_more_run_than_may(self) -> None:
        assert len(self.world.outside) <= SMALL.max_replicas
        assert len(self.world.state.engines) <= SMALL.max_replicas

    @invariant()
    def every_claim_lapses(self) -> None:
        for engine in self.world.state.engines.values():
            until = engine.claimed_until
            assert until is None or until.mono > self.world.now.mono

    @invariant()
    def the_disk_has_what_memory_has(self) -> None:
        state, found = self.world.state, read(self.world.db)
        named = {e.ref: e for e in state.engines.values() if e.incarnation}
        there = [rows.read_engine(row, self.world.now) for row in found.engines]
        assert {e.ref for e in there} == named.keys()
        for engine in there:
            assert _kept(engine) == _kept(named[engine.ref])
        assert {row[0] for row in found.started} == {
            s.id for s in state.streams.values() if s.ended is None
        }
        assert {row[0] for row in found.ended} >= set(state.ended)
        assert {rows.read_hold(row, self.world.now)[0] for row in found.holds} == set(state.holds)
        assert {row[0] for row in found.early_ends} == set(state.early_ends)
        at_least = [rows.read_at_least(r, self.world.now) for r in found.kept if r[0] == "at_least"]
        assert (at_least or [0]) == [state.at_least]

    @invariant()
    def a_stream_plays_while_its_start_of_an_engine_does(self) -> None:
        state = self.world.state
        for name, (where, start) in self.streams.items():
            there = self.world.outside.get(where)
            stream = state.streams[name]
            if name in self.left or (state.connected and state.current(where, start) is None):
                assert stream.ended is not None
            elif there is not None and there.incarnation == start:
                assert stream.ended is None
            assert (stream.slot, stream.incarnation) == (where, start)

    def teardown(self) -> None:
        """Left alone it comes to rest, with what it has to keep and nothing else."""
        world = self.world
        for name in self.streams.keys() - self.left:
            world.leave(name)
        for engine in world.outside.values():
            engine.hung = False
        world.script = type(world.script)()
        world.tell(ScaleRequested(0))
        world.tell(MaintenanceOver())
        world.tell(RuntimeConnected())
        world.list_engines(world.running())
        world.run(600)
        assert set(world.outside) == set(world.state.engines)
        assert [e.phase for e in world.state.engines.values()] == [Phase.RUNNING]
        assert world.planned.deadline == math.inf
        world.db.close()


def _kept(engine: Engine) -> tuple[object, ...]:
    """What a new acekeeper must know to treat it as the old one would."""
    claim = engine.claim if engine.handed else None
    drain = engine.drain.reason if engine.drain else None
    health, handed = engine.health, engine.handed
    return engine.phase, health, claim, drain, handed and handed.wall, engine.container_id


TestPool = Pool.TestCase
# Fewer examples: each lives long, and has a database.
TestPool.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=20)

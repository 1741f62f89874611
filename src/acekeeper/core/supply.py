"""What can be given to requests at one moment: engines in their order, and starts."""

import math
from functools import cached_property

from acekeeper.core import breaker
from acekeeper.core.actions import Code, Refusal
from acekeeper.core.allocation import free_slots
from acekeeper.core.breaker import Circuit
from acekeeper.core.model import Engine, Health, Now, Phase, Rules
from acekeeper.core.names import Slot
from acekeeper.core.state import State

SCALE_DOWN = "scale_down"


def rested_at(engine: Engine, rules: Rules) -> float:
    """Until when (monotonic) an engine that was handed out rests: its viewer may be late."""
    return engine.handed.mono + rules.rest_after_hand_out if engine.handed else 0.0


def may_be_taken_back(state: State, rules: Rules, engine: Engine) -> bool:
    """It drains only because there were too many, and is fit for one more viewer."""
    return (
        engine.drain is not None
        and engine.drain.reason == SCALE_DOWN
        and engine.phase is Phase.RUNNING
        and engine.health is Health.HEALTHY
        and engine.claim is None
        and state.has_room(engine, rules)
    )


def likely_wait(state: State, engine: Engine, now: Now) -> float:
    """Seconds until a starting engine is ready, by what starts took lately. One that is late is
    expected to take as long again as it is late: the longer it is silent, the less it promises.
    One that was found may have run for days, and should answer at once."""
    found = bool(engine.start) and engine.started is None
    passed = now.mono - (engine.started or engine.asked).mono
    return abs(passed - (0.0 if found else state.typical_start))


class Supply:
    """What one request takes is not there for the next; the state itself does not change."""

    def __init__(self, state: State, rules: Rules, now: Now) -> None:
        self._state = state
        self._rules = rules
        self._now = now
        self._slots = free_slots(state, rules, now)
        self._started: set[Slot] = set()
        self._ahead = 0  # starts that were taken, or that somebody waits for

    def engine(self) -> Engine | None:
        """The best of those that are given before one is started."""
        first, _ = self._engines
        return first.pop() if first else None

    def late_engine(self) -> Engine | None:
        """One that has been starting for so long that a new start promises more."""
        _, late = self._engines
        return late.pop() if late else None

    def has_engines(self) -> bool:
        return any(self._engines)

    def is_there(self, slot: Slot) -> bool:
        return slot in self._state.engines or slot in self._started

    def wait_for_start(self) -> None:
        self._ahead += 1

    def start(self, slot: Slot | None = None) -> Slot | None:
        """The slot of a new engine, None when every port has one. Only if `may_start` says now."""
        if slot is None:
            slot = next((s for s in self._slots if s not in self._started), None)
        if slot is not None:
            self._ahead += 1
            self._started.add(slot)
        return slot

    def may_start(self) -> Refusal | float | None:
        """Whether one more engine may be started, behind those who had a start or wait for one.

        None: now. A time (monotonic): then, by the interval alone. A refusal: not foreseeably.
        """
        state, rules, now = self._state, self._rules, self._now
        circuit = breaker.circuit(state.breaker, rules, now)
        if circuit is Circuit.OPEN:
            return self.breaker_open
        if len(state.engines) + self._ahead >= rules.max_replicas:
            return self.at_capacity
        if circuit is Circuit.HALF_OPEN and (self._ahead or state.starting):
            return waiting(Code.CIRCUIT_BREAKER, "a trial start is under way", self._next_ready)
        if remaining(state, rules) <= self._ahead:
            return waiting(Code.GENERAL_ERROR, "all provisioning slots are busy", self._next_ready)
        interval = rules.min_provision_interval
        due = max(now.mono, state.last_start.mono + interval if state.last_start else 0.0)
        due = max(due, state.starts_from)
        due += self._ahead * interval
        return due if due > now.mono else None

    @cached_property
    def _engines(self) -> tuple[list[Engine], list[Engine]]:
        """Those given before a new start, and those after it; the best is the last.

        First those likely to be ready when the client has slept, since a free one is there for
        clients that choose by themselves; then the free one idle for longest; then one that
        drains only because there were too many; then those likely to be ready later.
        """
        state, rules, now = self._state, self._rules, self._now
        first: list[tuple[int, int, float, Slot, Engine]] = []
        late: list[tuple[float, Slot, Engine]] = []
        for engine in state.engines.values():
            streams = len(state.playing.get(engine.slot, ()))
            if state.is_coming(engine, rules):
                wait = likely_wait(state, engine, now)
                if wait > max(rules.sleeps_then, state.typical_start):
                    late.append((wait, engine.slot, engine))
                else:
                    rank = 0 if wait <= rules.sleeps_then else 3
                    first.append((rank, 0, wait, engine.slot, engine))
            elif rested_at(engine, rules) <= now.mono:
                idle = (engine.free_since or engine.asked).mono
                if state.is_free(engine, rules):
                    first.append((1, streams, idle, engine.slot, engine))
                elif may_be_taken_back(state, rules, engine):
                    first.append((2, streams, idle, engine.slot, engine))
        return (
            [engine for *_, engine in sorted(first, reverse=True)],
            [engine for *_, engine in sorted(late, reverse=True)],
        )

    @cached_property
    def breaker_open(self) -> Refusal:
        failures = self._state.breaker.failures
        left = max(1, breaker.seconds_left(self._state.breaker, self._rules, self._now))
        return Refusal(
            Code.CIRCUIT_BREAKER,
            f"{failures} engine starts failed in a row; the next try is in {left} s",
            left,
            should_wait=left <= 4,
        )

    @cached_property
    def at_capacity(self) -> Refusal:
        """The eta is when the next hand-out or drain runs out; nobody knows when a viewer
        leaves."""
        state, rules, now = self._state, self._rules, self._now
        ends = [
            rested_at(e, rules)
            for e in state.engines.values()
            if e.handed and e.drain is None and (e.claim or state.is_free(e, rules))
        ] + [
            max(
                (e.unlisted or e.drain.since).mono + rules.drain_wait,
                e.claim.until.mono if e.claim and e.claim.until else 0.0,
            )
            for e in state.engines.values()
            if e.drain and e.slot not in state.playing
        ]
        ends = [end for end in ends if end > now.mono]
        eta = math.ceil(min(ends) - now.mono) if ends else None
        return Refusal(
            Code.MAX_CAPACITY,
            f"all {rules.max_replicas} engines are in use",
            eta,
            should_wait=eta is not None and eta <= 4,
        )

    @cached_property
    def _next_ready(self) -> float:
        """Seconds until the next starting engine should be ready, by what starts took lately."""
        state, now = self._state, self._now
        begun = [
            (e.started or e.asked).mono for e in map(state.engines.__getitem__, state.starting)
        ]
        return max(0.0, min(begun, default=now.mono) + state.typical_start - now.mono)


def remaining(state: State, rules: Rules) -> int:
    """Provisioning slots nobody uses; one is used from a start to its readiness."""
    return max(0, rules.max_concurrent_provisions - len(state.starting))


def waiting(code: Code, message: str, seconds: float) -> Refusal:
    """What passes within seconds: clients wait 1 to 4 s inside a viewer's request."""
    return Refusal(code, message, min(4, max(1, math.ceil(seconds))), should_wait=True)

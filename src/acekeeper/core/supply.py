"""What can be given to requests at one moment: engines in their order, and starts."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain, filterfalse, islice, repeat, starmap

from acekeeper.core import breaker, maintenance, network, rollout, vpns
from acekeeper.core.actions import Code, Refusal
from acekeeper.core.breaker import Circuit
from acekeeper.core.model import Engine, Health, Now, Phase
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

SCALE_DOWN = "scale_down"


def rested_at(engine: Engine, rules: Rules) -> float:
    """Until when (monotonic) an engine that was handed out rests: its viewer may be late."""
    return engine.handed.mono + rules.rest_after_hand_out if engine.handed else 0.0


def resting(state: State, rules: Rules, now: Now) -> Iterator[Engine]:
    """Those that were handed out lately; the first that has rested comes first."""
    handed = state.index.handed.ranks.get(rules.host, ())
    rested = bisect_right(handed, now.mono, key=lambda rank: rank[0] + rules.rest_after_hand_out)
    return (state.engines[slot] for _, slot in islice(handed, rested, None))


def may_be_taken_back(state: State, rules: Rules, engine: Engine) -> bool:
    """It drains since there were too many or it is outdated, and is fit for one more viewer."""
    return (
        state.maintenance is None
        and engine.drain is not None
        and (engine.drain.reason == SCALE_DOWN or rollout.is_going(engine))
        and engine.phase is Phase.RUNNING
        and engine.health is Health.HEALTHY
        and engine.claim is None
        and state.has_room(engine, rules)
    )


def likely_wait(state: State, engine: Engine, now: Now) -> float:
    """Seconds until a starting engine is ready, by what starts took lately. One that is late is
    expected to take as long again as it is late: the longer it is silent, the less it promises.
    One that was found may have run for days, and should answer at once."""
    passed = now.mono - (engine.started or engine.created).mono
    return abs(passed - _takes(state, engine))


def _takes(state: State, engine: Engine) -> float:
    """Seconds from its start to its readiness, by what starts took lately."""
    found = bool(engine.incarnation) and engine.started is None
    return 0.0 if found else state.typical_start


class Supply:
    """What one request takes is not there for the next; the state itself does not change."""

    def __init__(self, state: State, rules: Rules, now: Now) -> None:
        self._state = state
        self._rules = rules
        self._now = now
        self._slots = free_slots(state, rules, now)
        self._started: set[Slot] = set()
        self._given: set[Slot] = set()
        self.spent: set[str] = set()  # addresses at which nothing is left for any player
        self._ahead = 0  # starts that were taken, or that somebody waits for

    def engine(self) -> Engine | None:
        """The best for a client of the API, of those that are given before one is started."""
        return self._take(self._for_clients())

    def late_engine(self) -> Engine | None:
        """One that has been starting for so long that a new start promises more."""
        return self._take(self._late)

    def has_engines(self) -> bool:
        return any(e.slot not in self._given for e in chain(self._for_clients(), self._late))

    def count_free(self, fits: Callable[[Engine], bool]) -> int:
        """Engines that a player can have at once."""
        return sum(1 for _ in filter(fits, self._free()))

    def room(self) -> int:
        """How many engines may be started now, as far as nobody else asks for one."""
        state, rules, now = self._state, self._rules, self._now
        if not (state.connected and state.listed) or isinstance(self.may_start(), Refusal):
            return 0
        if breaker.circuit(state.breaker, rules, now) is Circuit.HALF_OPEN:
            return 1  # the trial
        left = rules.max_replicas - len(state.engines)
        return sum(1 for _ in islice(free_slots(state, rules, now), left)) if rules.vpns else left

    def free_engine(
        self, fits: Callable[[Engine], bool], *, lately_checked: bool = False
    ) -> Engine | None:
        """For a player, which waits for no start while one is free: the one idle for longest, or
        that answered a probe last."""
        order = self._lately_checked if lately_checked else self._free()
        return self._take(filter(fits, order))

    def reserve_coming(self) -> float | None:
        """For a player: an engine that will soon be ready, and until when (monotonic) a new start
        promises no more."""
        engine = self._take(self._soon)
        return None if engine is None else self._soon_until(engine)

    def _take(self, engines: Iterable[Engine]) -> Engine | None:
        """The first one is the best."""
        best = next((e for e in engines if e.slot not in self._given), None)
        if best is not None:
            self._given.add(best.slot)
        return best

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

    def has_slots(self) -> bool:
        """Whether there is one for a start. There are more than MAX_REPLICAS, but for those of VPNs
        that have no tunnel."""
        state, rules, now = self._state, self._rules, self._now
        return not rules.vpns or next(free_slots(state, rules, now), None) is not None

    def may_start(self, slot: Slot | None = None) -> Refusal | float | None:
        """Whether one more engine may be started, there if it is to be there, behind those who had
        a start or wait for one.

        None: now. A time (monotonic): then, by the interval alone. A refusal: not foreseeably.
        """
        state, rules, now = self._state, self._rules, self._now
        if state.maintenance is not None:
            return in_maintenance()
        if state.lacks:
            return self.lacks
        if (refusal := vpns.refusal(state, rules, slot)) is not None:
            return refusal
        circuit = breaker.circuit(state.breaker, rules, now)
        if circuit is Circuit.OPEN:
            return self.breaker_open
        if len(state.engines) + self._ahead >= rules.max_replicas:
            return self.at_capacity
        if (begins := network.start_from(state)) > now.mono:
            wait = begins - now.mono
            return waiting(Code.GENERAL_ERROR, "this host has no default route yet", wait)
        if circuit is Circuit.HALF_OPEN and (self._ahead or state.index.starting):
            return waiting(Code.CIRCUIT_BREAKER, "a trial start is under way", self._next_ready)
        if remaining(state, rules) <= self._ahead:
            return waiting(Code.GENERAL_ERROR, "all provisioning slots are busy", self._next_ready)
        interval = rules.min_provision_interval
        due = max(now.mono, state.last_start.mono + interval if state.last_start else 0.0)
        due = max(due, state.starts_from)
        due += self._ahead * interval
        return due if due > now.mono else None

    def _free(self) -> Iterator[Engine]:
        """The best first: the free one idle for longest; then those that drain and may be
        taken back."""
        state, rules, now = self._state, self._rules, self._now
        free = map(state.engines.__getitem__, state.index.longest_free(rules))
        return (e for e in chain(free, self._going) if rested_at(e, rules) <= now.mono)

    @cached_property
    def _going(self) -> list[Engine]:
        state = self._state
        going = (e for e in state.uneasy_engines() if may_be_taken_back(state, self._rules, e))
        by_age = sorted(going, key=lambda e: ((e.free_since or e.created).mono, e.slot))
        return sorted(by_age, key=lambda e: len(state.playing.get(e.slot, ())))

    @cached_property
    def _lately_checked(self) -> list[Engine]:
        return sorted(self._free(), key=lambda e: (e.checked or e.created).mono, reverse=True)

    @cached_property
    def _coming(self) -> list[tuple[float, Slot, Engine]]:
        """With the seconds until each is likely to be ready; the soonest first."""
        state, rules, now = self._state, self._rules, self._now
        starting = map(state.engines.__getitem__, state.index.starting)
        coming = (engine for engine in starting if state.is_coming(engine, rules))
        return sorted((likely_wait(state, engine, now), engine.slot, engine) for engine in coming)

    @cached_property
    def _soon(self) -> list[Engine]:
        return [e for _, _, e in self._coming if self._now.mono < self._soon_until(e)]

    @cached_property
    def _late(self) -> list[Engine]:
        return [e for _, _, e in self._coming if self._now.mono >= self._soon_until(e)]

    def _soon_until(self, engine: Engine) -> float:
        """From then on (monotonic) it is later than a new start is likely to be."""
        state, rules = self._state, self._rules
        begun = (engine.started or engine.created).mono
        return begun + _takes(state, engine) + max(rules.sleeps_then, state.typical_start)

    def _for_clients(self) -> Iterator[Engine]:
        """First come those likely to be ready when the client has slept, since a
        free one is there for clients that choose by themselves; then the free ones; then the other
        ones that come."""
        return chain(self._soon[: self._ready], self._free(), self._soon[self._ready :])

    @cached_property
    def _ready(self) -> int:
        state, rules, now = self._state, self._rules, self._now
        return sum(likely_wait(state, e, now) <= rules.sleeps_then for e in self._soon)

    @cached_property
    def lacks(self) -> Refusal:
        """It is looked for every few seconds; nobody knows when it comes."""
        return Refusal(Code.GENERAL_ERROR, f"no engine can start: {self._state.lacks}", None)

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
        handed = (
            rested_at(e, rules)
            for e in resting(state, rules, now)
            if e.drain is None and (e.claim or state.is_free(e, rules))
        )
        ends = [next(handed, 0.0)] + [
            max(
                (e.unlisted or e.drain.since).mono + rules.drain_wait,
                until.mono if (until := e.claimed_until) else 0.0,
            )
            for e in state.uneasy_engines()
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
        starting = map(state.engines.__getitem__, state.index.starting)
        begun = ((e.started or e.created).mono for e in starting)
        return max(0.0, min(begun, default=now.mono) + state.typical_start - now.mono)


def remaining(state: State, rules: Rules) -> int:
    """Provisioning slots nobody uses; one is used from a start to its readiness."""
    return max(0, rules.max_concurrent_provisions - len(state.index.starting))


def in_maintenance() -> Refusal:
    """Nobody knows when it is over."""
    return Refusal(Code.GENERAL_ERROR, maintenance.WORDS, None)


def waiting(code: Code, message: str, seconds: float) -> Refusal:
    """What passes within seconds: clients wait 1 to 4 s inside a viewer's request."""
    return Refusal(code, message, min(4, max(1, math.ceil(seconds))), should_wait=True)


def free_slots(state: State, rules: Rules, now: Now) -> Iterator[Slot]:
    """In the order in which they are to be taken; none when every port has an engine."""
    return vpns.by_need(state, rules, lambda ports: _free_slots(state, rules, ports, now))


def _free_slots(state: State, rules: Rules, ports: range, now: Now) -> Iterator[Slot]:
    """The lowest free port that has rested first: a client may still remember who had it before.
    After those the ones that rest, longest first."""
    resting: list[tuple[float, Slot]] = []
    every = zip(repeat(rules.host), ports)
    for slot in starmap(Slot, filterfalse(state.engines.__contains__, every)):
        vacated = state.vacated.get(slot)
        if vacated is None or now.mono - vacated.mono >= rules.port_rest:
            yield slot
        else:
            resting.append((vacated.mono, slot))
    yield from (slot for _, slot in sorted(resting))

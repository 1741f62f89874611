"""What a fact costs where there is more of everything: the rules and the views, without a service.

As the real loop does it, but for the writing: a fact is applied, and it is planned until nothing
more is to be done.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import mean, median

from acekeeper.api.views import Views
from acekeeper.core.apply import apply
from acekeeper.core.facts import (
    ActionTaken,
    EngineAnswered,
    EnginesListed,
    EnginesSurveyed,
    Fact,
    Found,
    RuntimeConnected,
    StreamEnded,
)
from acekeeper.core.model import Now, Stream
from acekeeper.core.names import PortPlan, Slot
from acekeeper.core.plan import may_change, plan
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

from ..core.world import HOST, rules, slot, started
from .measuring import by_turns
from .scale import Scale
from .table import Aim, Group, Row

_GROWTH = Aim(2, "ratio")
_LEAST_US = 0.1  # a difference of two that is less says nothing
_SETTLED_S = 100.0  # what was adopted has rested by then
_PORTS = PortPlan(20000, 22999, 30000, 40000, 50000)


@dataclass
class Pool:
    """`engines` that are ready and rested, half of which play; and so many other streams, half of
    them ended, half on engines of others."""

    engines: int
    streams: int = 0
    state: State = field(default_factory=State)
    now: Now = field(default_factory=lambda: Now(1_700_000_000.0, 1000.0))

    def __post_init__(self) -> None:
        self.rules: Rules = rules(ports=_PORTS, auto_delete=False, max_replicas=self.engines)
        self.views = Views(self.state, self.rules)
        self._names = count()
        found = [Found(slot(1000 + n), f"start-{n}", f"id-{n}") for n in range(self.engines)]
        refs = [(each.slot, each.incarnation) for each in found]
        facts: tuple[Fact, ...] = (
            RuntimeConnected(),
            EnginesListed(HOST, "boot", self.now, tuple(found)),
            *(EngineAnswered(*ref) for ref in refs),
            EnginesSurveyed(tuple(refs)),
            *(started(f"plays-{n}", found[n].slot) for n in range(0, self.engines, 2)),
            *(started(f"elsewhere-{n}") for n in range(self.streams)),
            *(StreamEnded(f"elsewhere-{n}") for n in range(0, self.streams, 2)),
        )
        for fact in facts:
            self.now = self.now.after(0.001)
            apply(self.state, self.rules, fact, self.now)
        self.now = self.now.after(_SETTLED_S)
        self.tell(EnginesSurveyed(tuple(refs)))
        assert len(self.state.engines) == self.engines
        self.free = self.state.engines[found[-1].slot]
        assert self.state.is_free(self.free, self.rules)

    def tell(self, fact: Fact) -> None:
        self.now = self.now.after(0.001)
        changes = apply(self.state, self.rules, fact, self.now)
        if not may_change(fact, changes):
            return
        while True:
            planned = plan(self.state, self.rules, self.now)
            for action in planned.actions:
                apply(self.state, self.rules, ActionTaken(action), self.now)
            if planned.is_last:
                return

    def viewer(self, times: int) -> float:
        """Microseconds a fact: a stream starts on an engine that was free, and ends."""
        return mean(_us(lambda fact=fact: self.tell(fact)) for fact in self._viewers(times))  # type: ignore[misc]

    def answers(self, times: int) -> float:
        fact = EngineAnswered(*self.free.ref)
        return mean(_us(lambda: self.tell(fact)) for _ in range(times))

    def encoded(self, times: int) -> float:
        """Microseconds to encode the list after a stream started or ended, less what it takes to
        join and hash its bytes."""
        apart = Views(self.state, self.rules)  # so that its parts lie in memory as ours do
        parts = {engine.slot: apart.engine(engine) for engine in self.state.engines.values()}
        spent = []
        for fact in self._viewers(times):
            self.tell(fact)
            spent.append(_us(self.views.engines) - _us(lambda: _join_and_hash(parts)))
        return max(_LEAST_US, median(spent))

    def asked(self, times: int) -> float:
        """Microseconds to encode the streams of an engine after one started or ended there."""
        spent = []
        for fact in self._viewers(times):
            self.tell(fact)
            spent.append(_us(lambda: list(map(self.views.stream, self._on_free()))))
        return mean(spent)

    def _on_free(self) -> Iterator[Stream]:
        return self.state.started_on(self.free.slot)

    def _viewers(self, times: int) -> Iterator[Fact]:
        for _ in range(times):
            name = f"viewer-{next(self._names)}"
            yield started(name, self.free.slot)
            yield StreamEnded(name)


def _us(work: Callable[[], object]) -> float:
    """Of the processor."""
    began = time.thread_time()
    work()
    return 1e6 * (time.thread_time() - began)


def _join_and_hash(parts: Mapping[Slot, bytes]) -> None:
    """Those that are not empty, as the views do."""
    listed = tuple(filter(None, parts.values()))
    _ = b"[%b]" % b",".join(listed), hash(listed)


Measure = Callable[[Pool, int], float]
_BY_ENGINES: dict[str, Measure] = {
    "a stream starts or ends": Pool.viewer,
    "an engine answers": Pool.answers,
    "encode the list after it, join and hash aside": Pool.encoded,
}
_BY_STREAMS: dict[str, Measure] = {
    "a stream starts or ends": Pool.viewer,
    "an engine answers": Pool.answers,
    "encode an engine's streams after it": Pool.asked,
}


def measure(scale: Scale) -> list[Group]:
    few, some, many = (Pool(engines) for engines in scale.grown_engines)
    none, all_of_them = (Pool(some.engines, streams) for streams in scale.grown_streams)
    return [
        Group(
            f"Apply and plan, us a fact, {some.engines} to {many.engines:,} engines",
            f"the same at {some.engines} engines",
            _rows(scale, some, many, _BY_ENGINES, _GROWTH),
        ),
        Group(
            f"The same, {few.engines} to {some.engines} engines",
            f"the same at {few.engines} engines",
            _rows(scale, few, some, _BY_ENGINES, None),
        ),
        Group(
            f"The same, {none.streams} to {all_of_them.streams:,} streams",
            f"the same at {none.streams} streams",
            _rows(scale, none, all_of_them, _BY_STREAMS, _GROWTH),
        ),
    ]


def _rows(
    scale: Scale, small: Pool, large: Pool, measures: dict[str, Measure], aim: Aim | None
) -> Sequence[Row]:
    rows = []
    for what, cost in measures.items():
        floor, ours = by_turns(
            scale.rounds,
            lambda cost=cost: cost(small, scale.facts),  # type: ignore[misc]
            lambda cost=cost: cost(large, scale.facts),  # type: ignore[misc]
        )
        rows.append(Row(what, min(floor), min(ours), aim))
    return rows

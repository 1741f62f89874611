"""Engines by what a plan asks of them, kept as they change: a plan costs what it touches, not what
there is. All of it follows from the engines and from what is on them."""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from typing import Generic, NamedTuple, TypeVar

from acekeeper.core.model import Engine, Made, Phase
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)
T = TypeVar("T", Slot, str)

Rank = tuple[float, Slot]


class Load(NamedTuple):
    streams: int  # started ones
    taken: int  # places, by these and by what is held


NOBODY = Load(0, 0)


@dataclass(slots=True)
class Ranking(Generic[K, T]):
    """Values under a key each, by a number; equals by themselves. No key stays that has nothing."""

    ranks: dict[K, list[tuple[float, T]]] = field(default_factory=dict)
    _places: dict[T, tuple[K, float]] = field(default_factory=dict)

    def put(self, value: T, place: tuple[K, float] | None) -> None:
        """None: nowhere."""
        before = self._places.pop(value, None)
        if place is not None:
            self._places[value] = place
        if before == place:
            return
        if before is not None:
            ranks = self.ranks[before[0]]
            del ranks[bisect_left(ranks, (before[1], value))]
            if not ranks:
                del self.ranks[before[0]]
        if place is not None:
            insort(self.ranks.setdefault(place[0], []), (place[1], value))


@dataclass(slots=True)
class Indexes:
    starting: dict[Slot, None] = field(default_factory=dict)  # not ready yet
    vacant: dict[Slot, None] = field(default_factory=dict)  # free or coming, and nobody plays
    uneasy: dict[Slot, None] = field(default_factory=dict)  # not calm
    accused: dict[Slot, None] = field(default_factory=dict)  # doubted, or suspect
    containers: Ranking[str, Slot] = field(default_factory=Ranking)  # by their ports
    # Those that have a name, by what they were started with, in the order of their ports.
    made: Ranking[Made, Slot] = field(default_factory=Ranking)
    handed: Ranking[str, Slot] = field(default_factory=Ranking)  # on each host, by when
    # Listed ones that nobody claims: since when each is free, and since when it is idle.
    free: Ranking[Load, Slot] = field(default_factory=Ranking)
    idle: Ranking[Load, Slot] = field(default_factory=Ranking)

    def update(self, slot: Slot, engine: Engine | None, load: Load, *, is_cut_off: bool) -> None:
        """`is_cut_off`: its VPN has no tunnel, so that it is not listed, nor counted on."""
        starts = engine is not None and engine.phase is Phase.STARTING
        mark(self.starting, slot, starts)
        is_open = engine is not None and engine.open and not is_cut_off
        mark(self.vacant, slot, is_open and not load.taken)
        mark(self.uneasy, slot, engine is not None and not engine.is_calm)
        mark(self.accused, slot, engine is not None and engine.against is not None)
        named = engine.container_id if engine else ""
        self.containers.put(slot, (named, slot.port) if named else None)
        has_name = engine is not None and engine.incarnation
        self.made.put(slot, (engine.made, slot.port) if engine and has_name else None)
        handed = engine.handed if engine else None
        self.handed.put(slot, (slot.host, handed.mono) if handed else None)
        free = engine if engine and engine.open and not starts else None
        self.free.put(slot, (load, (free.free_since or free.created).mono) if free else None)
        self.idle.put(slot, (load, free.idle_since.mono) if free else None)

    def longest_free(self, rules: Rules) -> Iterator[Slot]:
        """Those with the fewest streams first, of these the one free for longest."""
        for _, alike in groupby(sorted(with_room(self.free, rules)), lambda each: each[0].streams):
            yield from (slot for _, slot in merge(*(ranks for _, ranks in alike)))


def with_room(ranking: Ranking[Load, Slot], rules: Rules) -> Iterator[tuple[Load, list[Rank]]]:
    """Those that have a place for one more viewer."""
    most = rules.max_streams_per_engine
    return (each for each in ranking.ranks.items() if each[0].taken < most)


def mark(index: dict[V, None], value: V, belongs: bool) -> None:
    if belongs:
        index[value] = None
    else:
        index.pop(value, None)


def discard(index: dict[K, dict[V, None]], key: K, value: V) -> None:
    """No key stays that has nothing."""
    values = index[key]
    del values[value]
    if not values:
        del index[key]

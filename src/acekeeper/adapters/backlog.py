"""What the database should hold, and what of it is not there yet: the newest row of every key."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from acekeeper.adapters import rows
from acekeeper.adapters.rows import ENGINE_ALONG, Row
from acekeeper.core.changes import Changes
from acekeeper.core.gateway.model import Hold, Ref
from acekeeper.core.model import Engine, Stream
from acekeeper.core.names import Slot

_MOST = 100_000  # log and samples have no keys to merge by; beyond this the oldest of them go


@dataclass(slots=True)
class Rows:
    engines: dict[Ref, Row] = field(default_factory=dict)
    streams: dict[str, Row] = field(default_factory=dict)
    holds: dict[Ref, tuple[Row, ...]] = field(default_factory=dict)  # all of an engine's
    early_ends: dict[str, Row | None] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    log: deque[Row] = field(default_factory=lambda: deque(maxlen=_MOST))
    samples: deque[Row] = field(default_factory=lambda: deque(maxlen=_MOST))
    to_disk: bool = False  # not only to the kernel, which forgets it with the host

    def __len__(self) -> int:
        keyed = len(self.engines) + len(self.streams) + len(self.holds) + len(self.early_ends)
        return keyed + len(self.kept) + len(self.log) + len(self.samples)

    def update(self, newer: "Rows") -> None:
        self.engines.update(newer.engines)
        self.streams.update(newer.streams)
        self.holds.update(newer.holds)
        self.early_ends.update(newer.early_ends)
        self.kept.update(newer.kept)
        self.log.extend(newer.log)
        self.samples.extend(newer.samples)
        self.to_disk |= newer.to_disk


class Backlog:
    def __init__(self) -> None:
        self._unsaved = Rows()
        # Made a row once, however often it is told of before it is saved.
        self._told_engines: dict[Slot, Engine | None] = {}
        self._told_streams: dict[str, Stream | None] = {}
        self._wall = 0.0  # when it was told of them
        self._last_id = 0  # in the log on disk; 0: not known
        # Saved, but perhaps only in the write-ahead log, which may be lost: it is another file.
        self._logged: deque[Rows] = deque()
        self._rows_logged = 0
        self._engines: dict[Slot, Row] = {}  # those that are there now
        self._streams: dict[str, Row] = {}  # those that are started
        self._holds: dict[Ref, tuple[Row, ...]] = {}
        self._early_ends: dict[str, Row] = {}
        self._kept: dict[str, str] = {}

    @property
    def unsaved(self) -> Rows:
        self._settle()
        return self._unsaved

    @property
    def waiting(self) -> int:
        """About so many rows are unsaved; asked from any thread."""
        return len(self._unsaved) + len(self._told_engines) + len(self._told_streams)

    def known(
        self,
        engines: Iterable[Row],
        streams: Iterable[Row],
        holds: Iterable[Row],
        early_ends: Iterable[Row],
        kept: Iterable[Row],
    ) -> None:
        """What the database holds already: engines there, streams started, and the rest."""
        self._engines = {Slot(*row[:2]): row for row in engines}
        self._streams = {row[0]: row for row in streams}
        self._holds = {}
        for row in holds:
            ref = Slot(*row[:2]), row[2]
            self._holds[ref] = (*self._holds.get(ref, ()), row)
        self._early_ends = {row[0]: row for row in early_ends}
        self._kept = dict(kept)

    def add(self, changes: Changes, wall: float) -> None:
        self._unsaved.to_disk |= not changes.of_gateway
        self._wall = wall
        for slot, engine in changes.engines.items():
            if engine is None and slot in self._told_engines:
                self._settle()
            self._told_engines[slot] = engine
        for stream_id, stream in changes.streams.items():
            if stream is None and stream_id in self._told_streams:
                self._settle()
            self._told_streams[stream_id] = stream
        for ref, holds in changes.holds.items():
            self._hold(ref, holds)
        self._unsaved.samples.extend(rows.sample_row(i, sample) for i, sample in changes.samples)
        for stream_id, end in changes.early_ends.items():
            row = rows.early_end_row(stream_id, end) if end else None
            self._unsaved.early_ends[stream_id] = row
            if row is None:
                self._early_ends.pop(stream_id, None)
            else:
                self._early_ends[stream_id] = row
        if changes.breaker is not None:
            self._keep("breaker", rows.breaker_value(changes.breaker))
        if changes.boot is not None:
            self._keep("boot", changes.boot)
        if changes.at_least is not None:
            self._keep("at_least", str(changes.at_least))
        if changes.build is not None:
            self._keep("build", rows.build_value(changes.build))
        if changes.run is not None:
            self._keep("run", rows.run_value(changes.run))
        if changes.maintenance is not None:
            self._keep("maintenance", str(changes.maintenance))
        self._unsaved.log.extend(rows.log_row(happening, wall) for happening in changes.happened)

    def numbered(self, newest: Callable[[], int]) -> Rows:
        """The unsaved rows. Those of the log get ids, so that saving one twice adds nothing."""
        unsaved = self.unsaved
        if not self._last_id:
            self._last_id = max([newest(), *(row[0] or 0 for row in unsaved.log)])
        ids = itertools.count(self._last_id + 1)
        numbered = [row if row[0] else (next(ids), *row[1:]) for row in unsaved.log]
        unsaved.log = deque(numbered, maxlen=_MOST)
        self._last_id = next(ids) - 1
        return unsaved

    def saved(self) -> None:
        self._logged.append(self._unsaved)
        self._rows_logged += len(self._unsaved)
        self._unsaved = Rows()
        while self._rows_logged > _MOST:
            self._rows_logged -= len(self._logged.popleft())

    def in_database(self) -> None:
        """All that was saved is in the database itself."""
        self._logged.clear()
        self._rows_logged = 0

    def again(self) -> None:
        """Counts as unsaved what was saved since the log was last emptied."""
        everything = Rows()
        for some in (*self._logged, self.unsaved):
            everything.update(some)
        self.in_database()
        self._unsaved, self._last_id = everything, 0

    def start_over(self, *, is_new: bool) -> None:
        """The database may lack anything, and one that `is_new` has nothing: whatever is current
        has to be written again."""
        self.again()
        newer, self._unsaved = self._unsaved, Rows(to_disk=True)
        self._unsaved.engines.update({(Slot(*r[:2]), r[2]): r for r in self._engines.values()})
        self._unsaved.streams.update(self._streams)
        self._unsaved.holds.update(self._holds)
        self._unsaved.early_ends.update(self._early_ends)
        self._unsaved.kept.update(self._kept)
        self._unsaved.update(newer)
        if is_new:  # ids of its own, behind its first
            unnumbered = ((None, *row[1:]) for row in self._unsaved.log)
            self._unsaved.log = deque(unnumbered, maxlen=_MOST)

    def _settle(self) -> None:
        engines, self._told_engines = self._told_engines, {}
        for slot, engine in engines.items():
            self._engine(slot, engine, self._wall)
        streams, self._told_streams = self._told_streams, {}
        for stream_id, stream in streams.items():
            self._stream(stream_id, stream, self._wall)

    def _engine(self, slot: Slot, engine: Engine | None, wall: float) -> None:
        before = self._engines.get(slot)
        if before is not None and (engine is None or engine.incarnation != before[2]):
            del self._engines[slot]
            self._unsaved.engines[slot, before[2]] = rows.gone_row(before, wall)
        if engine is not None and engine.incarnation:
            row = self._engines[slot] = rows.engine_row(engine)
            if before is None or before[:ENGINE_ALONG] != row[:ENGINE_ALONG]:
                self._unsaved.engines[engine.ref] = row

    def _stream(self, stream_id: str, stream: Stream | None, wall: float) -> None:
        before = self._streams.pop(stream_id, None)
        if stream is None:
            if before is not None:  # it never ended, but nobody follows it any more
                self._unsaved.streams[stream_id] = rows.ended_row(before, wall, "forgotten")
            return
        row = rows.stream_row(stream)
        if stream.ended is None:
            self._streams[stream_id] = row
        if row != before:
            self._unsaved.streams[stream_id] = row

    def _hold(self, ref: Ref, holds: tuple[Hold, ...]) -> None:
        held = tuple(rows.hold_row(ref, hold) for hold in holds)
        if held == self._holds.get(ref, ()):
            return  # what has changed of them is not kept
        if held:
            self._holds[ref] = held
        else:
            del self._holds[ref]
        self._unsaved.holds[ref] = held

    def _keep(self, name: str, value: str) -> None:
        self._kept[name] = self._unsaved.kept[name] = value

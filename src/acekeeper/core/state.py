"""What is known now: one `State` holds the current values, with its indexes.

Only `apply` and the functions it calls touch it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from acekeeper.core.build import Build, Rollout
from acekeeper.core.changes import Changes, Happening
from acekeeper.core.doubt import Callers, Content, Heard, Played, Smell
from acekeeper.core.fleet.model import Fleet
from acekeeper.core.gateway.model import Hold, Look, Play, Reader, Ref, Sign
from acekeeper.core.indexes import Indexes, Load, Ranking, discard, mark
from acekeeper.core.model import Breaker, EarlyEnd, Engine, Now, Place, Request, Sample, Stream
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.runs import Run
from acekeeper.core.vpn import Vpn
from acekeeper.core.way_out import Network


@dataclass(slots=True)
class State:
    engines: dict[Slot, Engine] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    # In order: the first of a plain dict is found behind all that were removed before it.
    early_ends: OrderedDict[str, EarlyEnd] = field(default_factory=OrderedDict)
    requests: dict[str, Request] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    boot: str = ""  # the boot of the host its engines belong to
    at_least: int = 0  # engines in all an operator wants kept
    maintenance: Now | None = None  # since when the host is to become empty
    connected: bool = False  # the runtime can be asked
    lacks: str = ""  # what starts need and is not there
    looked: Now | None = None  # for that, when anybody did last
    looking: bool = False  # somebody does
    build: Build = field(default_factory=Build)  # what a start is made of now
    rollout: Rollout | None = None
    vpns: dict[str, Vpn] = field(default_factory=dict)  # those of which anything was told
    fleet: Fleet = field(default_factory=Fleet)
    silent: dict[str, str] = field(default_factory=dict)  # what cannot be asked, and why
    addresses: tuple[str, ...] | None = None  # those of the rules that were there at the last look
    network: Network | None = None  # None: nobody told, as engines share the host's
    listed: bool = False  # the runtime has said once what runs
    surveyed: bool = False  # every engine was asked once since we started
    last_start: Now | None = None
    excused: int = 0  # starts in a row that failed for nothing of theirs
    starts_from: float = 0.0  # no start before, for that; monotonic
    typical_start: float = 6.0  # seconds from start to readiness, a moving average
    replaced: tuple[Now, ...] = ()
    unreplaced: tuple[tuple[Slot, Now], ...] = ()  # what was lost lately, oldest first
    run: Run | None = None  # this one once it is told, and before the last one
    taken: tuple[float, ...] = ()  # when engines went that had to be made up for, monotonic
    smells: dict[Content, Smell] = field(default_factory=dict)  # oldest first
    played: dict[Slot, tuple[Played, ...]] = field(default_factory=dict)  # of late, few
    callers: dict[Ref, Callers] = field(default_factory=dict)
    staying: dict[Ref, None] = field(default_factory=dict)  # engines whose callers are to leave
    vacated: dict[Slot, Now] = field(default_factory=dict)
    revision: int = 0  # counts changes of engines and of what runs on them
    touched: dict[Slot, int] = field(default_factory=dict)  # at what revision; the last one last
    removed: int = 0  # engines so far: while it is the same, those that are stay in their order
    _indexes: Indexes = field(default_factory=Indexes, compare=False)
    _unindexed: dict[Slot, None] = field(default_factory=dict, compare=False)  # changed since
    playing: dict[Slot, dict[str, None]] = field(default_factory=dict)  # started streams, by slot
    elsewhere: dict[str, None] = field(default_factory=dict)  # started on engines not ours
    unmapped: dict[Place, dict[str, None]] = field(default_factory=dict)  # of these, by place
    sessions: dict[Content, dict[str, None]] = field(default_factory=dict)  # the gateway's of these
    ended: OrderedDict[str, None] = field(default_factory=OrderedDict)  # streams, oldest first
    heard: dict[str, Heard] = field(default_factory=dict)  # of started streams, by looks
    samples: dict[str, Sample] = field(default_factory=dict)  # what was last said of a stream
    moving: dict[str, None] = field(default_factory=dict)  # started streams that had speed then
    plays: dict[str, Play] = field(default_factory=dict)  # players that wait, oldest first
    holds: dict[Ref, tuple[Hold, ...]] = field(default_factory=dict)
    readers: dict[str, Reader] = field(default_factory=dict)  # of the gateway's started streams
    signs: Ranking[Sign, str] = field(default_factory=Ranking)  # that these are read
    given: dict[str, dict[str, None]] = field(default_factory=dict)  # these, by their one player
    gone_on: dict[str, None] = field(default_factory=dict)  # of these, where it asked for another
    tokens: dict[str, str] = field(default_factory=dict)  # the gateway's streams, by each token
    look: Look | None = None  # at who is connected
    seeing: bool = False  # another one is under way
    infohashes: dict[Content, str] = field(default_factory=dict)  # as engines told; few, bounded
    refusals: dict[Content, tuple[float, str]] = field(default_factory=dict)  # oldest first
    changes: Changes = field(default_factory=Changes)

    def changed(self) -> Changes:
        """Since it was asked last."""
        changes, self.changes = self.changes, Changes(of_gateway=True)
        return changes

    def put(self, engine: Engine) -> None:
        if self.engines.get(engine.slot) != engine:
            self.engines[engine.slot] = engine
            self.changes.engines[engine.slot] = engine
            self._index(engine.slot)
            self.revision += 1

    def remove(self, engine: Engine, now: Now) -> None:
        del self.engines[engine.slot]
        self.removed += 1
        self.vacated[engine.slot] = now
        self.played.pop(engine.slot, None)
        self.callers.pop(engine.ref, None)
        self.staying.pop(engine.ref, None)
        self.put_holds(engine.ref, ())
        self.changes.engines[engine.slot] = None
        self._index(engine.slot)
        self.revision += 1

    @property
    def index(self) -> Indexes:
        """Of the engines. An engine that changed often since the last look is put in once."""
        for slot in self._unindexed:
            engine, streams = self.engines.get(slot), len(self.playing.get(slot, ()))
            held = 0 if engine is None else len(self.holds.get(engine.ref, ()))
            load = Load(streams, streams + held)
            is_cut_off = engine is not None and self.is_cut_off(engine)
            self._indexes.update(slot, engine, load, is_cut_off=is_cut_off)
        self._unindexed.clear()
        return self._indexes

    def _index(self, slot: Slot) -> None:
        self._unindexed[slot] = None
        self.touched.pop(slot, None)
        self.touched[slot] = self.revision

    def put_callers(self, ref: Ref, callers: Callers) -> None:
        self.callers[ref] = callers
        mark(self.staying, ref, bool(callers.staying))

    def put_holds(self, ref: Ref, holds: tuple[Hold, ...]) -> None:
        """All of an engine's."""
        before = self.holds.get(ref, ())
        if holds:
            self.holds[ref] = holds
        else:
            self.holds.pop(ref, None)
        if [hold.kept for hold in before] == [hold.kept for hold in holds]:
            return
        self.changes.holds[ref] = holds
        self._index(ref[0])
        self.revision += 1

    def put_stream(self, stream: Stream) -> None:
        """Keeps the indexes true: `playing`, `sessions`, `elsewhere` and `unmapped` for started
        streams, `ended`, `tokens`. What was said of a stream stays with it, also when it ended."""
        before = self.streams.get(stream.id)
        if before == stream:
            return
        if before is not None:
            self._unindex(before)
            if before.session != stream.session:
                self.samples.pop(stream.id, None)
        self.streams[stream.id] = stream
        self.changes.streams[stream.id] = stream
        self._index_tokens(before, stream)
        if stream.ended is not None:
            self.ended[stream.id] = None
            self._unhear(stream.id)
        elif stream.slot is None:
            self.elsewhere[stream.id] = None
            for place in stream.places:
                self.unmapped.setdefault(place, {})[stream.id] = None
        else:
            self.playing.setdefault(stream.slot, {})[stream.id] = None
            for content in stream.contents:
                self.sessions.setdefault(content, {})[stream.id] = None
            self._index(stream.slot)
        self.revision += 1

    def _index_tokens(self, before: Stream | None, stream: Stream) -> None:
        """A token means the stream that had it last: once a stream has taken so many that it
        drops some, the one from which it took them."""
        had = () if before is None else before.tokens
        for token in had:
            if token not in stream.tokens and self.tokens.get(token) == stream.id:
                del self.tokens[token]
                ended = reversed(self.ended)
                if older := next((i for i in ended if token in self.streams[i].tokens), None):
                    self.tokens[token] = older
        for token in stream.tokens:
            if token not in had:
                self.tokens[token] = stream.id

    def newest(self, stream: Stream) -> Stream:
        """The session that took its place for its player, or itself."""
        return self.streams.get(self.tokens.get(stream.session, ""), stream)

    def remove_stream(self, stream: Stream) -> None:
        self._unindex(stream)
        del self.streams[stream.id]
        for token in stream.tokens:
            if self.tokens.get(token) == stream.id:
                del self.tokens[token]
        self.samples.pop(stream.id, None)
        self._unhear(stream.id)
        if stream.ended is None:  # the end of it is kept; and it may be among the same changes
            self.changes.streams[stream.id] = None
        self.revision += 1

    def _unindex(self, stream: Stream) -> None:
        if stream.ended is not None:
            del self.ended[stream.id]
        elif stream.slot is None:
            del self.elsewhere[stream.id]
            for place in stream.places:
                discard(self.unmapped, place, stream.id)
        else:
            discard(self.playing, stream.slot, stream.id)
            for content in stream.contents:
                discard(self.sessions, content, stream.id)
            self._index(stream.slot)

    def put_sample(self, stream: Stream, sample: Sample) -> None:
        """Of a started stream on one of our engines. No part of it: whoever reads the streams
        sees no change."""
        before = self.heard.get(stream.id, Heard())
        feeds = sample.peers > 0 or sample.speed_down > 0
        self.heard[stream.id] = Heard(fed=bool(before.fed) or feeds)
        self.samples[stream.id] = sample
        self.changes.samples.append((stream.id, sample))
        if sample.speed_down > 0:
            self.moving[stream.id] = None
        else:
            self.moving.pop(stream.id, None)

    def put_silence(self, stream: Stream, now: Now) -> None:
        """Its engine was asked and did not answer for it: how it is now, nobody knows."""
        before = self.heard.get(stream.id, Heard())
        if before.silent is None:
            self.heard[stream.id] = replace(before, silent=now.mono)
        self.moving.pop(stream.id, None)

    def known(self, stream_id: str) -> Sample | None:
        """How a stream is, as far as its engine said so when it was last asked."""
        return None if self.is_silent(stream_id) else self.samples.get(stream_id)

    def is_silent(self, stream_id: str) -> bool:
        """Whether its engine did not answer for it when it was last asked."""
        heard = self.heard.get(stream_id)
        return heard is not None and heard.silent is not None

    def _unhear(self, stream_id: str) -> None:
        """What was found out about it matters only while it plays."""
        self.heard.pop(stream_id, None)
        self.moving.pop(stream_id, None)
        if stream_id in self.readers:
            self.put_reader(stream_id, None)

    def put_reader(self, stream_id: str, reader: Reader | None) -> None:
        """Of a started stream of the gateway."""
        if stream_id in self.readers:
            discard(self.given, self.readers[stream_id].player, stream_id)
        if reader is None:
            self.readers.pop(stream_id, None)
            self.signs.put(stream_id, None)
        else:
            gateway = self.streams[stream_id].gateway
            self.signs.put(stream_id, reader.sign(is_hls=gateway is not None and gateway.is_hls))
            self.readers[stream_id] = reader
            self.given.setdefault(reader.player, {})[stream_id] = None
        mark(self.gone_on, stream_id, reader is not None and reader.replaced is not None)

    def put_early_end(self, stream_id: str, end: EarlyEnd | None) -> None:
        if end is None:
            self.early_ends.pop(stream_id, None)
        else:
            self.early_ends[stream_id] = end
        self.changes.early_ends[stream_id] = end

    def put_breaker(self, breaker: Breaker) -> None:
        if breaker != self.breaker:
            self.breaker = breaker
            self.changes.breaker = breaker

    def put_maintenance(self, since: Now | None) -> None:
        self.maintenance = since
        self.changes.maintenance = since.wall if since else 0.0
        self.revision += 1  # who reads whether engines can be had sees a change

    def put_vpn(self, vpn: Vpn) -> None:
        """Who reads the engines sees a change, of those behind it too, but for its traffic."""
        before = self.vpns.get(vpn.name)
        self.vpns[vpn.name] = vpn
        if before is None or replace(before, traffic=vpn.traffic) != vpn:
            for engine in self.behind(vpn.name):
                self._index(engine.slot)
            self.changes.vpns = True
            self.revision += 1

    def behind(self, vpn: str) -> list[Engine]:
        """Those behind any start of it."""
        return [e for e in self.engines.values() if e.behind is not None and e.behind.vpn == vpn]

    def is_cut_off(self, engine: Engine) -> bool:
        """Whether its VPN has no tunnel. Of one of which nothing was told yet nobody knows: what
        runs behind it stays as it was."""
        if engine.behind is None or (vpn := self.vpns.get(engine.behind.vpn)) is None:
            return False
        if vpn.incarnation != engine.behind.start:
            return True
        return not (vpn.is_connected or vpn.is_unasked)

    def tell(self, kind: str, engine: Slot | None = None, stream: str = "", **data: object) -> None:
        self.changes.happened.append(Happening(kind, engine, stream, data))

    def started_on(self, slot: Slot) -> Iterator[Stream]:
        return (self.streams[i] for i in self.playing.get(slot, ()))

    def uneasy_engines(self) -> Iterator[Engine]:
        """Those of which upkeep may want something, now or later."""
        return map(self.engines.__getitem__, self.index.uneasy)

    def find(self, container_id: str) -> Engine | None:
        ranks = self.index.containers.ranks.get(container_id)
        return self.engines[ranks[0][1]] if ranks else None

    def current(self, slot: Slot, incarnation: str) -> Engine | None:
        """The engine at this slot, if it is still that incarnation."""
        engine = self.engines.get(slot) if incarnation else None
        return engine if engine is not None and engine.incarnation == incarnation else None

    def is_vacant(self, engine: Engine) -> bool:
        """Nothing plays on it, and nothing may."""
        return engine.slot not in self.playing and engine.ref not in self.holds

    def is_free(self, engine: Engine, rules: Rules) -> bool:
        """Fit for one more viewer: listed, unclaimed, with room for a stream."""
        return engine.listed and engine.claim is None and self.has_room(engine, rules)

    def is_coming(self, engine: Engine, rules: Rules) -> bool:
        """Will be free when it is ready, if nobody claims it before."""
        is_open = engine.ready is None and engine.open and not self.is_cut_off(engine)
        return is_open and self.has_room(engine, rules)

    def has_room(self, engine: Engine, rules: Rules) -> bool:
        taken = len(self.playing.get(engine.slot, ())) + len(self.holds.get(engine.ref, ()))
        return taken < rules.max_streams_per_engine

"""What readers see, encoded on the first read after a change."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice, takewhile
from typing import TypeVar

import msgspec

from acekeeper.api import wire
from acekeeper.api.wire_status import Capacity, EngineTotals
from acekeeper.core.actions import Refusal
from acekeeper.core.admission import blocked
from acekeeper.core.health import health_score
from acekeeper.core.model import Breaker, Engine, Health, Now, Phase, Sample, Stream
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpns import is_forwarded
from acekeeper.usecases.turns import one_by_one

_AT_ONCE = 200

V = TypeVar("V")

_Counts = tuple[int, ...]  # as `totals` names them
_NOTHING: _Counts = (0,) * 5
_Ports = dict[str, tuple[str, int]]

_encode = msgspec.json.Encoder().encode


class Views:
    """Reads the state, never changes it."""

    def __init__(self, state: State, rules: Rules) -> None:
        self._state = state
        self._rules = rules
        self._engines: dict[Slot, tuple[Engine, tuple[str, ...], bool, bytes]] = {}
        self._streams: dict[str, tuple[Stream, bytes]] = {}
        self._list: tuple[int, bytes, bytes] = (-1, b"", b"")
        self._open: tuple[int, Breaker, str] | None = None
        self._revision = -1  # of what follows
        self._removed = 0  # before these
        self._listed: dict[Slot, bytes] = {}  # of all engines; empty for those that are not
        self._counted: dict[Slot, _Counts] = {}
        self._counts = _NOTHING  # the sums of these
        self._ports: _Ports = {}  # that VPNs forward

    def engines(self) -> tuple[bytes, bytes]:
        """The engines a client may use, and the ETag of that list."""
        revision, body, etag = self._list
        if revision != self._state.revision:
            self._update()
            listed = tuple(filter(None, self._listed.values()))
            body = _join(listed)
            etag = b'"%x"' % hash(listed)  # every part of it keeps its own
            self._list = (self._state.revision, body, etag)
        return body, etag

    def _update(self) -> None:
        """Of what is listed and counted, what changed since."""
        state, since, self._revision = self._state, self._revision, self._state.revision
        if since == state.revision:
            return
        if (self._removed, len(self._listed)) != (state.removed, len(state.engines)):
            self._removed = state.removed
            self._listed = {slot: self._listed.get(slot, b"") for slot in state.engines}
        for slot in self._changed(since):
            counts, before = _NOTHING, self._counted.pop(slot, _NOTHING)
            if (engine := state.engines.get(slot)) is not None:
                self._listed[slot] = self.engine(engine) if engine.listed else b""
                counts = self._counted[slot] = (
                    engine.phase is Phase.RUNNING,
                    engine.listed,
                    engine.health is Health.UNHEALTHY,
                    engine.claim is not None or not state.is_vacant(engine),
                    state.is_free(engine, self._rules),
                )
            self._counts = tuple(map(int.__add__, self._counts, map(int.__sub__, counts, before)))

    def _changed(self, since: int) -> Iterable[Slot]:
        """Engines are forwarded or not by what their VPNs say: then they are no others."""
        state, before = self._state, self._ports
        vpns = state.vpns.values()
        self._ports = {v.name: (v.incarnation, v.port if v.is_connected else 0) for v in vpns}
        touched = takewhile(lambda slot: state.touched[slot] >= since, reversed(state.touched))
        return touched if self._ports == before else chain(touched, state.engines)

    def totals(self) -> tuple[EngineTotals, Capacity]:
        self._update()
        total, rules = len(self._state.engines), self._rules
        running, healthy, unhealthy, used, available = self._counts
        at_least, most, least = self._state.at_least, rules.max_replicas, rules.min_replicas
        return (
            EngineTotals(total=total, running=running, healthy=healthy, unhealthy=unhealthy),
            Capacity(total, used, available, most, least, at_least),
        )

    def blocked(self, now: Now) -> Refusal | None:
        """Why no provision would be tried. Where one would be, time alone does not change that."""
        state = self._state
        seen = state.revision, state.breaker, state.lacks
        if self._open == seen:
            return None
        refusal = blocked(state, self._rules, now)
        self._open = None if refusal else seen
        return refusal

    def all_engines(self) -> bytes:
        if len(self._engines) > 2 * len(self._state.engines) + 16:
            self._engines.clear()
        return _join(map(self.engine, self._state.engines.values()))

    def engine(self, engine: Engine) -> bytes:
        streams = tuple(self._state.playing.get(engine.slot, ()))
        forwarded = is_forwarded(self._state, engine)
        known = self._engines.get(engine.slot)
        if known is not None and known[0] is engine and known[1:3] == (streams, forwarded):
            return known[3]
        body = _encode(_engine(engine, streams, forwarded))
        self._engines[engine.slot] = (engine, streams, forwarded, body)
        return body

    def engine_with_streams(self, engine: Engine) -> bytes:
        return b'{"engine":%b,"streams":%b}' % (
            self.engine(engine),
            _join(self.stream(s) for s in self._state.started_on(engine.slot)),
        )

    async def streams(self, status: str, container_id: str | None, limit: int, now: Now) -> bytes:
        """Every started one, and the newest `limit` ended ones, as they are now. Those of no
        container of ours have an empty id."""
        if container_id and status == "started":
            return self.started_on(container_id, now)
        found: list[Stream] = []
        if status != "ended":
            found += (s for s in self._state.streams.values() if s.ended is None)
        if status != "started":
            newest = (self._state.streams[i] for i in reversed(self._state.ended))
            if container_id is not None:
                newest = (s for s in newest if s.container_id == container_id)
            found += islice(newest, limit)
        if container_id is not None:
            found = [s for s in found if s.container_id == container_id]
        return _join(await one_by_one(found, self.stream, _AT_ONCE))

    def started_on(self, container_id: str, now: Now) -> bytes:
        """The client's own capacity question: a claim answers it until its stream starts, and so
        does what is held for players of the gateway, and a doubt about playback."""
        engine = self._state.find(container_id)
        if engine is None:
            return b"[]"
        parts = [self.stream(s) for s in self._state.started_on(engine.slot)]
        until = engine.claimed_until
        if engine.claim is not None and (until is None or until.mono > now.mono):
            parts.append(_encode(_placeholder(engine, engine.claim)))
        held = range(len(self._state.holds.get(engine.ref, ())))
        parts += (_encode(_placeholder(engine, f"hold-{n}", "gateway")) for n in held)
        if engine.doubt is not None:  # nobody is to come while it is tried, whatever its limit
            room = range(len(parts), self._rules.max_streams_per_engine)
            parts += (_encode(_placeholder(engine, f"try-{n}")) for n in room)
        return _join(parts)

    def stream(self, stream: Stream) -> bytes:
        if stream.ended is not None:
            self._streams.pop(stream.id, None)
            return _encode(_stream(stream))
        known = self._streams.get(stream.id)
        if known is not None and known[0] is stream:
            return known[1]
        if len(self._streams) > 2 * (len(self._state.streams) - len(self._state.ended)) + 16:
            self._streams.clear()  # most have ended and were not asked for since
        body = _encode(_stream(stream))
        self._streams[stream.id] = (stream, body)
        return body

    def scores(self, now: Now) -> list[wire.EngineScore]:
        scores = [
            wire.EngineScore(
                container_id=e.container_id,
                host=e.slot.host,
                port=e.slot.port,
                health_score=health_score(e, len(self._state.playing.get(e.slot, ())), now),
                stream_count=len(self._state.playing.get(e.slot, ())),
                health_status=e.health.value,
            )
            for e in self._state.engines.values()
            if e.container_id
        ]
        return sorted(scores, key=lambda s: s.health_score, reverse=True)


async def array(values: Sequence[V], shape: Callable[[V], object]) -> bytes:
    return _join(await one_by_one(values, lambda value: _encode(shape(value)), _AT_ONCE))


def _join(parts: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(parts)


def phase(engine: Engine) -> wire.Phase:
    draining = engine.drain is not None and engine.phase.value == "running"
    return "draining" if draining else engine.phase.value


def _engine(engine: Engine, streams: tuple[str, ...], forwarded: bool) -> wire.Engine:
    seen = engine.seen or engine.created
    return wire.Engine(
        container_id=engine.container_id,
        container_name=engine.slot.container_name,
        host=engine.slot.host,
        port=engine.slot.port,
        labels=dict(engine.labels),
        forwarded=forwarded,
        first_seen=wire.moment(engine.created.wall),
        last_seen=wire.moment(seen.wall),
        health_status=engine.health.value,
        last_health_check=wire.moment_or_none(engine.checked and engine.checked.wall),
        last_stream_usage=wire.moment_or_none(engine.used and engine.used.wall),
        last_cache_cleanup=None,
        cache_size_bytes=None,
        streams=list(streams),
        phase=phase(engine),
        playback_doubted=engine.doubt is not None,
        starving=engine.hunger is not None and engine.hunger.told,
        image=engine.build.image or None,
        vpn=engine.behind.vpn if engine.behind else None,
    )


def _stream(stream: Stream) -> wire.Stream:
    return wire.Stream(
        id=stream.id,
        key_type=stream.key_type.value,
        key=stream.key,
        container_id=stream.container_id,
        playback_session_id=stream.session,
        stat_url=stream.stat_url,
        command_url=stream.command_url,
        is_live=stream.is_live,
        started_at=wire.moment(stream.started.wall),
        ended_at=wire.moment_or_none(stream.ended and stream.ended.wall),
        status="started" if stream.ended is None else "ended",
        reason=stream.reason or None,
        via="gateway" if stream.gateway else "event",
        player=stream.gateway.player if stream.gateway else None,
    )


def sample(sample: Sample) -> wire.StreamSample:
    return wire.StreamSample(
        ts=wire.moment(sample.at.wall),
        peers=sample.peers,
        speed_down=sample.speed_down,
        speed_up=sample.speed_up,
        downloaded=sample.downloaded,
        uploaded=sample.uploaded,
        status=sample.status,
    )


def _placeholder(engine: Engine, name: str, via: wire.Via = "event") -> wire.Stream:
    return wire.Stream(
        id=f"claim|{name}",
        key_type="infohash",
        key="",
        container_id=engine.container_id,
        playback_session_id="",
        stat_url="",
        command_url="",
        is_live=False,
        started_at=wire.moment((engine.handed or engine.unlisted or engine.created).wall),
        ended_at=None,
        status="started",
        via=via,
    )

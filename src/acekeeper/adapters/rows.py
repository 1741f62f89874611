"""Engines, streams and the rest as rows of the database, and back. Instants are wall time."""

import json
from typing import Any

import msgspec
from msgspec.structs import astuple

from acekeeper.core.build import Build
from acekeeper.core.changes import Happening
from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Hold, Ref
from acekeeper.core.inspection import Logged
from acekeeper.core.model import (
    Breaker,
    ByGateway,
    Draining,
    EarlyEnd,
    Engine,
    Health,
    KeyType,
    Now,
    Phase,
    Sample,
    Stopping,
    Stream,
)
from acekeeper.core.names import HERE, Slot
from acekeeper.core.runs import Run
from acekeeper.core.texts import of_its_own, shared
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut

Row = tuple[Any, ...]


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


ENGINE_KEY = _columns("host port start")
ENGINE = ENGINE_KEY + _columns("""
    container_id phase health labels asked started ready used free_since handed claim claim_until
    drain drain_since unlisted unhealthy stop_reason addresses way_out behind seen checked gone
""")
ENGINE_ALONG = ENGINE.index("seen")  # from here on: stored with the rest, not worth a write alone
STREAM_KEY = _columns("id")
STREAM = STREAM_KEY + _columns("""
    key_type key session stat_url command_url is_live address_host address_port host port start
    container_id told gateway started ended reason
""")
HOLD_KEY = ENGINE_KEY + _columns("key_type key infohash token")
HOLD = HOLD_KEY + _columns("since is_hls")
EARLY_END_KEY = _columns("id")
EARLY_END = EARLY_END_KEY + _columns("at reason")
KEPT_KEY = _columns("name")
KEPT = KEPT_KEY + _columns("value")
SAMPLE = _columns("ts status peers speed_down speed_up downloaded uploaded")
LOG = _columns("ts kind host port stream data")
LOG_ROW = ("id", *LOG)
_LONGEST_TEXT = 1000  # of what others said: an error of Podman's, a client's reason
_encode_data = msgspec.json.Encoder(enc_hook=str).encode
_encode_gateway = msgspec.json.Encoder().encode
_decode_gateway = msgspec.json.Decoder(ByGateway).decode
_decode_behind = msgspec.json.Decoder(Behind).decode
_encode = msgspec.json.Encoder().encode
_decode_way_out = msgspec.json.Decoder(WayOut).decode


def engine_row(engine: Engine) -> Row:
    until = engine.claimed_until
    return (
        *engine.slot,
        engine.incarnation,
        engine.container_id,
        engine.phase.value,
        engine.health.value,
        json.dumps(dict(engine.labels)),
        engine.created.wall,
        _wall(engine.started),
        _wall(engine.ready),
        _wall(engine.used),
        _wall(engine.free_since),
        _wall(engine.handed),
        engine.claim if until else None,
        _wall(until),
        engine.drain.reason if engine.drain else None,
        engine.drain.since.wall if engine.drain else None,
        _wall(engine.unlisted),
        _wall(engine.unhealthy),
        engine.stop.reason if engine.stop else "",
        ",".join(engine.addresses),
        _encode(engine.way_out).decode() if engine.way_out else "",
        _encode(engine.behind).decode() if engine.behind else "",
        _wall(engine.seen),
        _wall(engine.checked),
        None,
    )


def gone_row(row: Row, wall: float) -> Row:
    return (*row[:-1], wall)


def read_engine(row: Row, now: Now) -> Engine:
    r = dict(zip(ENGINE, row, strict=True))
    handed = _instant(r["handed"], now)
    drained = _instant(r["drain_since"], now)
    return Engine(
        slot=Slot(HERE, r["port"]),
        incarnation=r["start"],
        container_id=r["container_id"],
        addresses=tuple(r["addresses"].split(",")),
        way_out=_decode_way_out(r["way_out"]) if r["way_out"] else None,
        behind=_decode_behind(r["behind"]) if r["behind"] else None,
        health=Health(r["health"]),
        labels=json.loads(r["labels"]),
        created=now.of_wall(r["asked"]),
        started=_instant(r["started"], now),
        ready=_instant(r["ready"], now),
        used=_instant(r["used"], now),
        free_since=_instant(r["free_since"], now),
        handed=handed,
        claim=r["claim"] if handed else None,
        drain=Draining(r["drain"], drained) if drained else None,
        unlisted=_instant(r["unlisted"], now),
        unhealthy=_instant(r["unhealthy"], now),
        stop=Stopping(r["stop_reason"]) if r["phase"] == Phase.STOPPING else None,
        seen=_instant(r["seen"], now),
        checked=_instant(r["checked"], now),
    )


def stream_row(stream: Stream) -> Row:
    return (
        stream.id,
        stream.key_type.value,
        stream.key,
        stream.session,
        stream.stat_url,
        stream.command_url,
        stream.is_live,
        *stream.address,
        *(stream.slot or (None, None)),
        stream.incarnation,
        stream.container_id,
        json.dumps([stream.named, *stream.also]) if stream.named or stream.also else "",
        _encode_gateway(stream.gateway).decode() if stream.gateway else "",
        stream.started.wall,
        _wall(stream.ended),
        stream.reason,
    )


def ended_row(row: Row, wall: float, reason: str) -> Row:
    return (*row[:-2], wall, reason)


def read_stream(row: Row, now: Now) -> Stream:
    r = dict(zip(STREAM, row, strict=True))
    named, *also = json.loads(r["told"]) if r["told"] else ("",)
    return Stream(
        id=r["id"],
        key_type=KeyType(r["key_type"]),
        key=shared(r["key"]),
        session=r["session"],
        stat_url=r["stat_url"],
        own_command_url=of_its_own(r["command_url"], r["stat_url"]),
        is_live=bool(r["is_live"]),
        address=(shared(r["address_host"]), r["address_port"]),
        also=tuple((host, port) for host, port in also),
        named=named,
        slot=None if r["host"] is None else Slot(HERE, r["port"]),
        incarnation=shared(r["start"]),
        container_id=shared(r["container_id"]),
        started=now.of_wall(r["started"]),
        ended=_instant(r["ended"], now),
        reason=shared(r["reason"]),
        gateway=_decode_gateway(r["gateway"]) if r["gateway"] else None,
    )


def hold_row(ref: Ref, hold: Hold) -> Row:
    kept = *hold.content, hold.infohash, hold.token, hold.since.wall, hold.is_hls
    return (*ref[0], ref[1], *kept)


def read_hold(row: Row, now: Now) -> tuple[Ref, Hold]:
    r = dict(zip(HOLD, row, strict=True))
    hold = Hold(
        content=Content(r["key_type"], r["key"]),
        infohash=r["infohash"],
        token=r["token"],
        since=now.of_wall(r["since"]),
        is_hls=bool(r["is_hls"]),
    )
    return (Slot(r["host"], r["port"]), r["start"]), hold


def early_end_row(stream_id: str, end: EarlyEnd) -> Row:
    return (stream_id, end.at.wall, end.reason)


def read_early_end(row: Row, now: Now) -> tuple[str, EarlyEnd]:
    stream_id, at, reason = row
    return stream_id, EarlyEnd(now.of_wall(at), reason)


def breaker_value(breaker: Breaker) -> str:
    return json.dumps([breaker.failures, _wall(breaker.opened), _wall(breaker.last_failure)])


def read_breaker(row: Row, now: Now) -> Breaker:
    _, value = row
    failures, opened, last_failure = json.loads(value)
    return Breaker(failures, _instant(opened, now), _instant(last_failure, now))


def read_at_least(row: Row, _: Now) -> int:
    return int(row[1])


def build_value(build: Build) -> str:
    return json.dumps([build.image, build.fingerprint])


def read_build(row: Row, _: Now) -> Build:
    return Build(*json.loads(row[1]))


def run_value(run: Run) -> str:
    return msgspec.json.encode(run).decode()


def read_run(row: Row, _: Now) -> Run:
    return msgspec.json.decode(row[1], type=Run)


def read_maintenance(row: Row, now: Now) -> Now | None:
    return _instant(float(row[1]) or None, now)


def sample_row(stream_id: str, sample: Sample) -> Row:
    at, *rest = astuple(sample)
    return (stream_id, at.wall, *rest)


def read_sample(row: Row, now: Now) -> Sample:
    wall, *rest = row
    return Sample(now.of_wall(wall), *rest)


def log_row(happening: Happening, wall: float) -> Row:
    """Its id is given when it is saved."""
    data = {name: _bounded(value) for name, value in happening.data.items()}
    try:
        told = _encode_data(data).decode()
    except UnicodeEncodeError:  # somebody's broken text, which only this can write
        told = json.dumps(data, default=str)
    return (None, wall, happening.kind, *(happening.engine or (None, None)), happening.stream, told)


def read_log(row: Row) -> Logged:
    log_id, wall, kind, host, port, stream, data = row
    return Logged(log_id, wall, kind, Slot(host, port) if host else None, stream, json.loads(data))


def _bounded(value: object) -> object:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value


def _wall(instant: Now | None) -> float | None:
    return instant.wall if instant else None


def _instant(wall: float | None, now: Now) -> Now | None:
    return None if wall is None else now.of_wall(wall)

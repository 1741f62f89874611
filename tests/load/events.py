"""What events cost that are on disk when they are acknowledged, one by one and in batches.

Starts and ends by turns, so that as many streams are there afterwards as before.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count, cycle, islice, repeat
from pathlib import Path
from statistics import median

import msgspec
import uvloop

from ..api import bodies
from .bare import bare
from .generator import Kept, get, pace, post, run
from .measuring import by_turns
from .scale import Bench
from .table import Aim, Group, Row

_ALONE = Aim(0.8, "ratio", at_least=True)
_TOGETHER = Aim(5_000, at_least=True)
_P99_MS = Aim(20)
_BATCHED = Aim(60_000, at_least=True)
_TURN_MS = Aim(20)
_PING = get("/health/ready")
_COLUMNS = ("id", "key_type", "key", "session", "stat_url", "command_url", "host", "port", "live")
_LIMIT_S = 60.0
_names = count()


def measure(bench: Bench) -> list[Group]:
    ports = [engine["port"] for engine in asyncio.run(bench.service.get("/engines"))]
    with closing(_database(bench.directory / "floor.db")) as db:
        batches = [_batched(bench, ports, size, db) for size in bench.scale.batches]
        alone = _alone(bench, ports, db)
    return [
        Group(
            "Durable events, one a request, median round",
            "a commit of such a row by sqlite3, synchronous=FULL",
            [alone],
        ),
        Group(
            f"The same, {bench.scale.clients} clients",
            "a bare ASGI function that reads and accepts",
            _together(bench, ports),
        ),
        Group(
            "Batches of events, median round",
            "msgspec and sqlite3's executemany; of waits: without a batch",
            [row for rows in batches for row in rows],
        ),
    ]


def _alone(bench: Bench, ports: Sequence[int], db: sqlite3.Connection) -> Row:
    told = _start("floor", ports[0])

    def commits() -> float:
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < bench.scale.turn_s:
            db.execute(_INSERT, (f"floor-{next(_names)}", *_values(told)))
            done += 1
        return done / (time.perf_counter() - began)

    with Kept(bench.port) as kept:

        def acknowledged() -> float:
            began, done = time.perf_counter(), 0
            for request in singles(ports[0], bench.scale.turn_s):
                kept.ask(request)
                done += 1
            return done / (time.perf_counter() - began)

        floor, ours = by_turns(bench.scale.rounds, commits, acknowledged)
    return Row("1 client, events/s", median(floor), median(ours), _ALONE)


def _together(bench: Bench, ports: Sequence[int]) -> list[Row]:
    seconds, engines = 2 * bench.scale.turn_s, list(islice(cycle(ports), bench.scale.clients))
    p99s: dict[int, list[float]] = {}

    def rate(port: int) -> float:
        found = run(port, [singles(engine, seconds) for engine in engines], _LIMIT_S)
        p99s.setdefault(port, []).append(found.p99_ms)
        return found.per_second

    with bare(bench.directory / "bodies.json", {}) as (port, _):
        floor, ours = by_turns(bench.scale.rounds, lambda: rate(port), lambda: rate(bench.port))
    return [
        Row("events/s", median(floor), median(ours), _TOGETHER),
        Row("p99 ms", median(p99s[port]), median(p99s[bench.port]), _P99_MS),
    ]


def _batched(bench: Bench, ports: Sequence[int], size: int, db: sqlite3.Connection) -> list[Row]:
    quiet: list[float] = []
    waits: list[float] = []

    def body() -> bytes:
        return post("/events/batch", batch(ports, size))

    def floor() -> float:
        told = batch(ports, size)
        began = time.perf_counter()
        _save(db, told)
        return size / (time.perf_counter() - began)

    def ours() -> float:
        quiet.append(run(bench.port, [repeat(_PING, 200)], _LIMIT_S).longest_ms)
        waits.append(uvloop.run(_wait_beside(bench.port, body())))
        return size / run(bench.port, [iter([body()])], _LIMIT_S).took[0]

    with Kept(bench.port) as kept:
        assert kept.ask(body()).count(b'"success":true') == size, "events failed"
    floors, rates = by_turns(bench.scale.rounds, floor, ours)
    return [
        Row(f"{size:,} a batch, events/s", median(floors), median(rates), _BATCHED),
        Row(
            f"{size:,} a batch, longest wait of a read, ms", median(quiet), median(waits), _TURN_MS
        ),
    ]


async def _wait_beside(port: int, request: bytes) -> float:
    """The longest wait in ms of one who reads meanwhile."""
    reads, over = asyncio.Event(), False

    def pings() -> Iterator[bytes]:
        yield _PING
        reads.set()
        while not over:
            yield _PING

    reading = asyncio.create_task(pace(port, [pings()], _LIMIT_S))
    await asyncio.wait_for(reads.wait(), _LIMIT_S)
    await pace(port, [iter([request])], _LIMIT_S)
    over = True
    return (await reading).longest_ms


def singles(port: int, seconds: float, prefix: str = "bench-") -> Iterator[bytes]:
    """Requests that start a stream and end it, until time is up; each that started ends."""
    start = msgspec.json.encode(_start("NAME", port))
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        name = b"%b%d" % (prefix.encode(), next(_names))
        yield post("/events/stream_started", start.replace(b"NAME", name))
        yield post("/events/stream_ended", b'{"stream_id":"%b"}' % name)


def batch(ports: Sequence[int], size: int) -> bytes:
    names = [f"bench-{next(_names)}" for _ in range(size // 2)]
    started = [_start(name, ports[n % len(ports)]) for n, name in enumerate(names)]
    ended = [{"stream_id": name} for name in names]
    return msgspec.json.encode({"started": started, "ended": ended})


def _start(name: str, port: int) -> dict[str, object]:
    return bodies.started(port=port, labels={"stream_id": name})


def _database(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    _, *others = _COLUMNS
    db.execute("DROP TABLE IF EXISTS streams")
    db.execute(f"CREATE TABLE streams (id TEXT PRIMARY KEY, {', '.join(others)}, ended)")
    return db


_INSERT = f"INSERT INTO streams VALUES ({'?, ' * len(_COLUMNS)}NULL)"  # noqa: S608


def _save(db: sqlite3.Connection, body: bytes) -> None:
    told = msgspec.json.decode(body)
    db.execute("BEGIN IMMEDIATE")
    db.executemany(_INSERT, [(e["labels"]["stream_id"], *_values(e)) for e in told["started"]])
    ends = [(0.0, e["stream_id"]) for e in told["ended"]]
    db.executemany("UPDATE streams SET ended = ? WHERE id = ?", ends)
    db.execute("COMMIT")


def _values(event: dict[str, object]) -> tuple[object, ...]:
    engine, stream, session = event["engine"], event["stream"], event["session"]
    assert isinstance(engine, dict)
    assert isinstance(stream, dict)
    assert isinstance(session, dict)
    return (
        stream["key_type"],
        stream["key"],
        session["playback_session_id"],
        session["stat_url"],
        session["command_url"],
        engine["host"],
        engine["port"],
        session["is_live"],
    )

"""What is on disk, read beside the store."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from acekeeper.adapters.database import connect, connect_to_read, prune
from acekeeper.adapters.history import History
from acekeeper.adapters.readers import Readers
from acekeeper.core.changes import Changes, Happening
from acekeeper.core.inspection import Logged
from acekeeper.core.model import Now, Sample
from acekeeper.errors import StoreFailed

from .storing import NOW, SLOT, running, stream


@pytest.fixture
async def history(path: Path) -> AsyncIterator[History]:
    history = History(path)
    yield history
    history.close()


def fill(path: Path, *rows: tuple[float, str]) -> None:
    with closing(connect(path)) as db:
        db.executemany("INSERT INTO log (ts, kind, stream, data) VALUES (?, ?, '', '{}')", rows)


def kinds(found: object) -> list[str]:
    assert isinstance(found, list)
    return [logged.kind for logged in found]


async def test_what_is_committed_can_be_read(path: Path, history: History) -> None:
    async with running(path) as store:
        await store.write(Changes(happened=[Happening("a", SLOT, "s", {"n": 1})]))
        [logged] = await history.log("a", None, 10)
        assert logged == Logged(logged.id, logged.wall, "a", SLOT, "s", {"n": 1})
        assert abs(logged.wall - time.time()) < 60
        assert await history.newest_id() == logged.id
        assert await history.log(None, None, 10, SLOT.port) == [logged]
        assert await history.log(None, None, 10, SLOT.port + 1) == []


async def test_the_log_is_the_newest_first_and_filtered(path: Path, history: History) -> None:
    fill(path, (10, "a"), (20, "b"), (20, "c"), (30, "a"))
    assert kinds(await history.log(None, None, 10)) == ["log_begun", "a", "c", "b", "a"]
    assert kinds(await history.log(None, None, 2)) == ["log_begun", "a"]
    assert kinds(await history.log("a", None, 10)) == ["a", "a"]
    assert [entry.wall for entry in await history.log("a", 10.5, 10)] == [30]
    assert await history.log("absent", None, 10) == []


async def test_it_is_followed_the_oldest_first(path: Path, history: History) -> None:
    fill(path, *((n, f"k{n}") for n in range(5)))
    found = await history.log_after(0, 3)
    assert kinds(found) == ["log_begun", "k0", "k1"]
    assert kinds(await history.log_after(found[-1].id, 9)) == ["k2", "k3", "k4"]
    assert await history.log_after(await history.newest_id(), 9) == []
    # Each read is in the order of an index: however long the log is, none sorts it.
    with closing(sqlite3.connect(path)) as db:
        for wanted in (
            "",
            "WHERE ts >= 1",
            "WHERE port = 1",
            "WHERE kind = 'a'",
            "WHERE kind = 'a' AND ts >= 1",
        ):
            sql = " ".join(("SELECT * FROM log", wanted, "ORDER BY ts DESC, id DESC"))
            plan = str(db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
            assert "INDEX log_" in plan
            assert "TEMP B-TREE" not in plan


async def test_ids_only_rise_also_when_all_is_old_and_when_a_database_is_new(
    path: Path, history: History
) -> None:
    fill(path, (1, "old"), (2, "older"))
    newest = await history.newest_id()
    with closing(connect(path)) as db:
        db.execute("UPDATE log SET ts = 1")
        prune(db, time.time())
        assert db.execute("SELECT kind FROM log").fetchall() == [("older",)]
    fill(path, (3, "next"))
    assert await history.newest_id() == newest + 1
    await asyncio.to_thread(path.unlink)
    while time.time() * 1000 < newest + 2:  # the ids of a new one begin with its millisecond
        await asyncio.sleep(0)
    connect(path).close()
    assert await history.newest_id() > newest + 1


def sampled(n: int, name: str = "s") -> Changes:
    sample = Sample(Now(NOW.wall + n, 0.0), "dl", n, 200, 30, 1000 * n, 2)
    return Changes(streams={name: stream(name)}, samples=[(name, sample)])


async def test_samples_of_a_stream_are_read_the_newest_ones_in_order(
    path: Path, history: History
) -> None:
    async with running(path) as store:
        for n in (0, 1, 2, 2, 3):
            await store.write(sampled(n))
        found = await history.samples("s", 0, 10) or []
        assert [(s.at.wall - NOW.wall, s.peers, s.downloaded) for s in found] == [
            (n, n, 1000 * n) for n in range(4)
        ]
        assert (found[3].status, found[3].speed_down, found[3].speed_up) == ("dl", 200, 30)
        some = await history.samples("s", NOW.wall + 1, 2) or []
        assert [s.peers for s in some] == [2, 3]
        some = await history.samples("s", NOW.wall + 1, 10) or []
        assert [s.peers for s in some] == [1, 2, 3]
        assert [s.peers for s in await history.samples("s", 0, 2) or []] == [2, 3]
        assert await history.samples("absent", 0, 10) is None
        # The same id again is another stream; what was said of the last one is not said of it.
        again = stream("s", started=Now(NOW.wall + 2.5, 0.0), session="other")
        await store.write(Changes(streams={"s": again}))
        assert [s.peers for s in await history.samples("s", 0, 10) or []] == [3]


async def test_old_samples_go_before_their_stream_and_no_others(
    path: Path, history: History
) -> None:
    async with running(path) as store:
        for n in range(3):
            await store.write(sampled(n))
        await store.write(sampled(2, "t"))
        await store.write(Changes(streams={"t": stream("t", ended=Now(NOW.wall + 3, 0))}))
    with closing(connect(path)) as db:
        prune(db, NOW.wall + 1.5)
        assert [s.peers for s in await history.samples("s", 0, 10) or []] == [2]
        assert [s.peers for s in await history.samples("t", 0, 10) or []] == [2]
        prune(db, NOW.wall + 10)
        assert await history.samples("t", 0, 10) is None
        assert await history.samples("s", 0, 10) == []
        assert db.execute("SELECT count(*) FROM samples").fetchone() == (0,)


async def test_one_that_is_not_there_is_said(history: History) -> None:
    with pytest.raises(StoreFailed, match="cannot be opened"):
        await history.newest_id()


async def test_a_read_that_takes_too_long_is_given_up_and_its_thread_is_free(path: Path) -> None:
    fill(path, (1, "a"))
    history = History(path, within=0.2)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    for _ in range(3):  # more than it has threads
        with pytest.raises(StoreFailed, match=r"not read within 0\.2 s"):
            await history._read(lambda db: db.execute(endless).fetchall())
    async with asyncio.timeout(20):
        while not await _answers(history):
            pass
    history.close()


async def _answers(history: History) -> bool:
    try:
        return await history.newest_id() > 0
    except StoreFailed:
        return False


async def test_it_cannot_write(path: Path, history: History) -> None:
    fill(path, (1, "a"))
    with pytest.raises(StoreFailed, match="read-only"):
        await history._read(lambda db: db.execute("DELETE FROM log"))


async def test_reads_of_a_disk_that_hangs_are_given_up_and_hold_two_threads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, (1, "a"))
    may = threading.Event()
    begun: list[Path] = []

    def hanging(path: Path) -> sqlite3.Connection:
        begun.append(path)
        may.wait(60)
        return connect_to_read(path)

    monkeypatch.setattr("acekeeper.adapters.history.connect_to_read", hanging)
    history = History(path, within=0.2)
    reads = [history.newest_id() for _ in range(20)]
    for error in await asyncio.gather(*reads, return_exceptions=True):
        assert "not read within 0.2 s" in str(error)
    may.set()
    async with asyncio.timeout(20):
        while not await _answers(history):
            pass
    assert len(begun) < 20  # what nobody waits for any more is not read then
    history.close()


async def test_nobody_reads_while_the_writer_keeps_readers_out(path: Path) -> None:
    fill(path, (1, "a"))
    readers = Readers()
    history = History(path, readers, within=0.2)
    with readers.kept_out(0), pytest.raises(StoreFailed, match=r"not read within 0\.2 s"):
        await history.newest_id()
    assert await history.newest_id() > 0
    with readers.reading(0):  # one that hangs is not waited for long
        with readers.kept_out(0.01):
            pass
        with readers.kept_out(0.01):
            pass
    history.close()


class Seen(Readers):
    """Tells that the writer waits until nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    @contextmanager
    def kept_out(self, within: float) -> Iterator[None]:
        self.waits.set()
        with super().kept_out(within):
            yield


async def test_a_database_moved_away_and_back_under_a_reader_takes_what_comes_next(
    path: Path,
) -> None:
    """The reader has the old file open with what is beside the new one, and the writer removes
    that: to open it with the same is an error of the disk for SQLite."""
    readers = Seen()
    aside = path.with_name("aside")
    async with running(path, readers=readers) as store:
        await store.write(Changes(streams={"a": stream("a")}))
        await asyncio.to_thread(path.rename, aside)
        await store.write(Changes(streams={"b": stream("b")}))
        readers.waits.clear()
        with readers.reading(0):
            await asyncio.to_thread(aside.rename, path)
            with closing(connect_to_read(path)) as moved:
                moved.execute("SELECT count(*) FROM streams").fetchone()
                written = asyncio.ensure_future(store.write(Changes(streams={"c": stream("c")})))
                waits = asyncio.create_task(asyncio.to_thread(readers.waits.wait, 20))
                either: set[asyncio.Future[Any]] = {written, waits}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        await written
        readers.waits.set()
        await waits
    with closing(connect(path)) as db:
        kept = {name for (name,) in db.execute("SELECT id FROM streams")}
    assert kept == {"a", "b", "c"}

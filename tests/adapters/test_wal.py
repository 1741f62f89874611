"""What lies on disk of a write-ahead log, and what others may do to it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from acekeeper.adapters import copied
from acekeeper.adapters.copied import read_copy
from acekeeper.adapters.database import connect, connect_to_read, mark
from acekeeper.adapters.store import Store
from acekeeper.adapters.wal import Disturbed, Log, Seen, WrittenByOthers, beside
from acekeeper.core.changes import Changes

from .storing import ENGINE, NOW, SLOT, next_run, running, started, stream


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acekeeper.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as db, closing(connect_to_read(path)) as guard:
        guard.execute("SELECT 1 FROM sqlite_master").fetchone()
        yield db
        db.close()


@pytest.fixture
def log(path: Path, db: sqlite3.Connection) -> Log:
    log = Log(path, db)
    for _ in range(3):
        mark(db)
        assert log.check(wrote=True) is Seen.COMMIT
    return log


def elsewhere(path: Path, sql: str) -> None:
    """In a process of its own: within one, SQLite's connections know of each other."""
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()"
    subprocess.run([sys.executable, "-c", code, str(path), sql], check=True)


def test_it_is_followed_through_commits_and_checkpoints(
    path: Path, db: sqlite3.Connection, log: Log
) -> None:
    assert log.check(wrote=False) is Seen.SAME
    assert not log.is_whole
    size = log.size
    for _ in range(3):
        log.put_into_database(db)
        assert log.is_whole
        assert log.check(wrote=False) is Seen.SAME
        mark(db)  # begins it anew
        assert log.check(wrote=True) is Seen.COMMIT
        assert not log.is_whole
        assert log.size < size
    log.empty(db)
    assert beside(path, "-wal").stat().st_size == 0
    mark(db)
    assert log.check(wrote=True) is Seen.COMMIT


def test_a_long_commit_is_followed_in_few_reads(
    db: sqlite3.Connection, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, reads, pread = log.size, [], os.pread

    def count(file: int, most: int, at: int) -> bytes:
        reads.append(at)
        return pread(file, most, at)

    db.execute("INSERT INTO kept VALUES ('long', ?)", ["x" * 800_000])
    monkeypatch.setattr(os, "pread", count)
    assert log.check(wrote=True) is Seen.COMMIT
    frames = (log.size - before) // 4096
    assert frames > 160
    assert len(reads) < frames / 10


def test_behind_a_reader_it_goes_on_though_it_is_whole(
    path: Path, db: sqlite3.Connection, log: Log
) -> None:
    with closing(connect_to_read(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM kept").fetchall()
        log.put_into_database(db)
        size = log.size
        mark(db)
        assert log.check(wrote=True) is Seen.COMMIT
        assert log.size > size
        log.put_into_database(db)
        assert not log.is_whole
        assert log.check(wrote=False) is Seen.SAME


def test_what_changes_nothing_is_no_commit(db: sqlite3.Connection, log: Log) -> None:
    db.execute("UPDATE kept SET value = value")
    assert log.check(wrote=True) is Seen.SAME


def test_a_commit_that_never_got_there_is_not_seen(
    path: Path, db: sqlite3.Connection, log: Log
) -> None:
    size = log.size
    mark(db)
    os.truncate(beside(path, "-wal"), size)
    assert log.check(wrote=True) is Seen.SAME


@pytest.mark.parametrize("mode", ["TRUNCATE", "RESTART"])
def test_who_else_empties_it_is_seen_and_loses_nothing(
    path: Path, db: sqlite3.Connection, log: Log, mode: str
) -> None:
    elsewhere(path, f"PRAGMA wal_checkpoint({mode})")
    mark(db)
    assert log.check(wrote=True) is Seen.EMPTIED
    mark(db)
    assert log.check(wrote=True) is Seen.COMMIT
    assert log.check(wrote=False) is Seen.SAME


def test_who_else_writes_to_the_database_is_seen(path: Path, log: Log) -> None:
    elsewhere(path, "PRAGMA wal_checkpoint(PASSIVE)")
    with pytest.raises(WrittenByOthers):
        log.check(wrote=False)


def test_one_that_could_not_be_begun_is_no_log(path: Path, db: sqlite3.Connection) -> None:
    class Busy(sqlite3.Connection):
        def execute(self, *_: object) -> sqlite3.Cursor:
            return super().execute("SELECT 1, -1, -1")

    with closing(sqlite3.connect(path, factory=Busy)) as busy, pytest.raises(BlockingIOError):
        Log(path, busy)


def regrown(wal: Path) -> None:
    """Cut, and written to at its old end: a hole."""
    size = wal.stat().st_size
    os.truncate(wal, 0)
    os.truncate(wal, size)


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        lambda wal: wal.rename(wal.with_name("elsewhere")),
        lambda wal: os.truncate(wal, 0),
        lambda wal: os.truncate(wal, 32),
        lambda wal: wal.write_bytes(b"x" * wal.stat().st_size),
        regrown,
    ],
)
@pytest.mark.parametrize("wrote", [True, False])
def test_harm_is_found(
    path: Path, db: sqlite3.Connection, log: Log, harm: Callable[[Path], object], wrote: bool
) -> None:
    harm(beside(path, "-wal"))
    if wrote:
        mark(db)
    with pytest.raises(Disturbed):
        log.check(wrote=wrote)


def test_harm_to_the_index_is_found(path: Path, log: Log) -> None:
    beside(path, "-shm").unlink()
    with pytest.raises(Disturbed, match="-shm was taken away"):
        log.check(wrote=False)


async def copy_of_a_running_store(path: Path, to: Path) -> Path:
    """With a log, as a kill leaves it; its last commit is its end."""
    await next_run(path)
    store = Store(path, 7)
    store.load(NOW)
    await store.write(Changes(engines={SLOT: ENGINE}, boot="b1"))
    for n in range(3):
        await store.write(started(f"s{n}"))
    for suffix in ("", "-wal"):
        shutil.copy(beside(path, suffix), beside(to, suffix))
    await store.close()
    return to


@pytest.mark.parametrize("cut", [0, 1, 5000])
async def test_a_copy_has_what_sqlite_would_read(path: Path, tmp_path: Path, cut: int) -> None:
    copy = await copy_of_a_running_store(path, tmp_path / "copy.db")
    wal = beside(copy, "-wal")
    assert wal.stat().st_size > copy.stat().st_size / 10
    os.truncate(wal, wal.stat().st_size - cut)
    contents = read_copy(copy)
    assert {p.name for p in copy.parent.glob("copy.db*")} == {copy.name, wal.name}
    saved = await next_run(copy)
    assert saved.engines
    assert [row[0] for row in contents.started] == [s.id for s in saved.streams]
    assert len(contents.started) == (3 if cut == 0 else 2)
    assert len(contents.engines) == 1


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_copy_misses_nothing_that_is_taken_into_the_database_meanwhile(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    copy = await copy_of_a_running_store(path, tmp_path / "copy.db")
    expected = read_copy(copy)
    really_read = copied._database

    def read(path: Path) -> bytearray:
        image = really_read(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return really_read(path) if is_first else image

    monkeypatch.setattr(copied, "_database", read)
    assert read_copy(copy) == expected
    assert expected.started


async def test_a_copy_of_a_log_that_changes_all_the_time_is_none(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = await copy_of_a_running_store(path, tmp_path / "copy.db")
    monkeypatch.setattr(copied, "_log", lambda _: os.urandom(8))
    with pytest.raises(sqlite3.OperationalError, match="changes all the time"):
        read_copy(copy)


async def test_a_log_that_is_none_is_passed_over(path: Path, tmp_path: Path) -> None:
    copy = await copy_of_a_running_store(path, tmp_path / "copy.db")
    async with running(copy) as store:
        await store.write(started("last"))
    beside(copy, "-wal").write_bytes(b"no log at all" * 1000)
    assert "last" in {row[0] for row in read_copy(copy).started}
    copy.write_bytes(b"")
    beside(copy, "-wal").unlink()
    assert read_copy(copy).started == []


async def test_a_name_that_is_left_of_a_kill_is_no_hindrance(path: Path) -> None:
    beside(path, "-new").touch()
    async with running(path) as store:
        await store.write(Changes(streams={"s": stream("s")}))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_database_that_is_put_back_while_one_is_made_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    away = path.with_name("away")
    connect(away).close()
    before = away.read_bytes()
    inode = away.stat().st_ino
    really_open = os.open

    def put_back(file: Path, *given: int) -> int:
        if away.exists():
            away.rename(path)
        return really_open(file, *given)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", put_back)
        connect(path).close()
    assert path.stat().st_ino == inode
    assert path.read_bytes()[:100] == before[:100]
    assert not beside(path, "-new").exists()

"""The SQLite file: opening it, reading it, saving to it, and what its errors mean."""

import errno
import os
import sqlite3
import time
from collections.abc import Iterable
from functools import cache
from itertools import chain
from pathlib import Path

from msgspec import Struct

from acekeeper.adapters.backlog import Rows
from acekeeper.adapters.migrations import migrate
from acekeeper.adapters.rows import (
    EARLY_END,
    EARLY_END_KEY,
    ENGINE,
    ENGINE_KEY,
    HOLD,
    HOLD_KEY,
    KEPT,
    KEPT_KEY,
    LOG_ROW,
    SAMPLE,
    STREAM,
    STREAM_KEY,
    Row,
)
from acekeeper.adapters.wal import Disturbed, beside
from acekeeper.errors import StoreFailed

_BUSY = 0.5  # seconds somebody else may hold the database; an answer must not wait longer
_NEWEST_ENDED = 10_000
_PRUNED_AT_ONCE = 500  # so that a write never waits long behind it
_IN_A_STATEMENT = (64, 32, 16, 8, 4, 2, 1)  # rows; what is prepared for each is kept
_ROOM = 256 << 10
LOG_AT_REST = 4 << 20  # bytes of the write-ahead log that stay for the next writes


def connect(path: Path) -> sqlite3.Connection:
    """To read and write; creates what is missing, readable by its owner only."""
    if not path.parent.is_dir():  # to ask for it hangs where a file system is frozen
        path.parent.mkdir(mode=0o700, parents=True)
    if not path.exists():
        _create(path)
    _require_room(path.parent)
    # It does not create, which hangs on a frozen file system even where there is nothing to do.
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # the writer does it
        db.execute(f"PRAGMA journal_size_limit = {LOG_AT_REST}")
        migrate(db)
        db.execute("BEGIN IMMEDIATE")  # where nothing can be written, this says so
        db.execute("ROLLBACK")
    except BaseException:
        db.close()
        raise
    return db


def connect_to_read(path: Path) -> sqlite3.Connection:
    """It never writes, not even when it is the last to close: that empties no log."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, check_same_thread=False)


def _create(path: Path) -> None:
    """Under another name first: a process that opens and closes a database file drops all its locks
    on it, and a reader of ours may have opened it by then. A file that somebody has put in the
    place meanwhile stays."""
    new = beside(path, "-new")
    new.unlink(missing_ok=True)  # of a run that was killed here
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o600))
    try:
        path.hardlink_to(new)
    except FileExistsError:
        pass
    finally:
        new.unlink()


def _require_room(directory: Path) -> None:
    """For the -shm. SQLite maps it, and on small blocks the room for it is only taken when it is
    written to: where there is none, that ends the process (SIGBUS)."""
    disk = os.statvfs(directory)
    if disk.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if disk.f_bavail * disk.f_frsize < _ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Contents(Struct, frozen=True):
    engines: list[Row]  # those that are not gone
    started: list[Row]
    ended: list[Row]  # the newest, oldest first
    holds: list[Row]
    early_ends: list[Row]
    kept: list[Row]


def read(db: sqlite3.Connection) -> Contents:
    def found(table: str, columns: Iterable[str], rest: str = "", *values: int) -> list[Row]:
        sql = " ".join(("SELECT", ", ".join(columns), "FROM", table, rest))
        return db.execute(sql, values).fetchall()

    newest = "WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT ?"
    return Contents(
        engines=found("engines", ENGINE, "WHERE gone IS NULL ORDER BY asked"),
        started=found("streams", STREAM, "WHERE ended IS NULL ORDER BY started"),
        ended=found("streams", STREAM, newest, _NEWEST_ENDED)[::-1],
        holds=found("holds", HOLD, "ORDER BY since"),
        early_ends=found("early_ends", EARLY_END, "ORDER BY at"),
        kept=found("kept", KEPT),
    )


def save(db: sqlite3.Connection, rows: Rows) -> None:
    """All of it or nothing, and kept when this returns. To save it twice changes nothing."""
    ends = rows.early_ends
    db.execute("BEGIN IMMEDIATE")
    _put(db, _UPSERT_ENGINE, rows.engines.values())
    _put(db, _UPSERT_STREAM, rows.streams.values())
    db.executemany(_DELETE_HOLDS, [(*slot, incarnation) for slot, incarnation in rows.holds])
    _put(db, _UPSERT_HOLD, chain.from_iterable(rows.holds.values()))
    _put(db, _UPSERT_EARLY_END, [row for row in ends.values() if row is not None])
    _put(db, _DELETE_EARLY_END, [(i,) for i, row in ends.items() if row is None])
    _put(db, _UPSERT_KEPT, rows.kept.items())
    _put(db, _INSERT_SAMPLE, rows.samples)
    _put(db, _INSERT_LOG, rows.log)
    db.execute("COMMIT")


def keep(db: sqlite3.Connection, *, to_disk: bool) -> None:
    """A commit from here on outlives this process, and `to_disk` the host, with all before it."""
    db.execute(f"PRAGMA synchronous = {'FULL' if to_disk else 'NORMAL'}")


def mark(db: sqlite3.Connection) -> None:
    """A write that changes the database for certain: saving rows that are there already may not."""
    _put(db, _UPSERT_KEPT, [("marked", str(time.time_ns()))])


def require_sound(db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _error(found, sqlite3.SQLITE_CORRUPT)


def newest_log_id(db: sqlite3.Connection) -> int:
    (newest,) = db.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()
    return int(newest)


def close_unread(db: sqlite3.Connection, wall: float) -> None:
    """Ends whatever an earlier run left open. For a database that could not be read at our
    start: what is still true of it is in memory, and written after this."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE engines SET gone = ? WHERE gone IS NULL", (wall,))
    db.execute("UPDATE streams SET ended = ?, reason = 'lost' WHERE ended IS NULL", (wall,))
    db.execute("DELETE FROM holds")
    db.execute("COMMIT")


def prune(db: sqlite3.Connection, before: float) -> bool:
    """Deletes a few of the rows that are too old; whether there may be more."""
    db.execute("BEGIN IMMEDIATE")
    deleted = [db.execute(sql, (before, _PRUNED_AT_ONCE)).rowcount for sql in _PRUNE]
    db.execute("COMMIT")
    return max(deleted) == _PRUNED_AT_ONCE


def move_aside(path: Path, ending: str) -> Path:
    """With its -wal and -shm, under names that belong together. The main file goes last: it alone
    says whether there is still something to move."""
    aside = path.with_name(f"{path.name}.{ending}")
    wal, shm = beside(path, "-wal"), beside(path, "-shm")
    is_empty = not wal.exists() or not wal.stat().st_size
    for suffix, part in (("-wal", wal), ("-shm", shm), ("", path)):
        if is_empty and part is not path:
            part.unlink(missing_ok=True)
        elif part.exists():
            part.rename(beside(aside, suffix))
    return aside


def is_corrupt(error: Exception) -> bool:
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def failure(error: Exception, path: Path) -> StoreFailed:
    if isinstance(error, Disturbed):
        return StoreFailed(f"{error}, again and again", f"Keep others away from {path}*")
    if not isinstance(error, sqlite3.Error | OSError):
        return StoreFailed(f"a change does not fit the database ({error!r})", "Report this defect")
    what, hint = _MEANING.get(_code(error), ("the database cannot be used", f"Look at {path}"))
    return StoreFailed(f"{what} ({error})", hint.format(path=path, directory=path.parent))


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def _code(error: Exception) -> int:
    """SQLite's primary result code; errors of the file system have the nearest one of them."""
    if isinstance(error, OSError):
        return _NEAREST.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN)
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


_NEAREST = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EAGAIN: sqlite3.SQLITE_BUSY,
}
_MEANING = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free space at {directory}"),
    sqlite3.SQLITE_IOERR: (
        "the disk does not take writes",
        "See that {directory} has space, and what the kernel log says of its disk",
    ),
    sqlite3.SQLITE_READONLY: (
        "the database is read-only",
        "Make {path} and its directory writable for this user",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the database cannot be opened",
        "Let this user own {directory} and all in it",
    ),
    sqlite3.SQLITE_BUSY: (
        "the database is locked by another process",
        "End it; `find /proc/[0-9]*/fd -lname '{path}*'`, as root, shows its number",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the database became corrupt again",
        "Check the disk under {directory}, then restart to begin a new database",
    ),
}
_MEANING[sqlite3.SQLITE_NOTADB] = _MEANING[sqlite3.SQLITE_CORRUPT]


def _put(db: sqlite3.Connection, sql: str, rows: Iterable[Row]) -> None:
    """Each statement releases the interpreter lock and waits for it again: many rows share one."""
    left = list(rows)
    while left:
        many = next(many for many in _IN_A_STATEMENT if many <= len(left))
        now, left = left[:many], left[many:]
        db.execute(_repeated(sql, len(now[0]), many), list(chain.from_iterable(now)))


@cache
def _repeated(sql: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return sql.replace(row, ", ".join([row] * rows))


def _upsert(table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    new = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in key)
    conflict = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {new}"
    return f"{_insert(table, columns)} {conflict}"


def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return " ".join(("INSERT INTO", table, f"({', '.join(columns)}) VALUES ({marks})"))


_UPSERT_ENGINE = _upsert("engines", ENGINE_KEY, ENGINE)
_UPSERT_STREAM = _upsert("streams", STREAM_KEY, STREAM)
_DELETE_HOLDS = f"DELETE FROM holds WHERE {' AND '.join(f'{c} = ?' for c in ENGINE_KEY)}"  # noqa: S608
_UPSERT_HOLD = _upsert("holds", HOLD_KEY, HOLD)
_UPSERT_EARLY_END = _upsert("early_ends", EARLY_END_KEY, EARLY_END)
_DELETE_EARLY_END = "DELETE FROM early_ends WHERE id IN (VALUES (?))"
_UPSERT_KEPT = _upsert("kept", KEPT_KEY, KEPT)
_INSERT_SAMPLE = (
    f"WITH told (id, {', '.join(SAMPLE)}) AS (VALUES ({', '.join('?' * (1 + len(SAMPLE)))}))"  # noqa: S608
    f" INSERT OR IGNORE INTO samples (stream, {', '.join(SAMPLE)})"
    f" SELECT s.rowid, {', '.join(SAMPLE)} FROM told CROSS JOIN streams AS s USING (id)"
)
_INSERT_LOG = f"{_insert('log', LOG_ROW)} ON CONFLICT (id) DO NOTHING"
_PRUNE = (
    "DELETE FROM engines WHERE rowid IN (SELECT rowid FROM engines WHERE gone < ? LIMIT ?)",
    "DELETE FROM samples WHERE (stream, ts) IN (SELECT m.stream, m.ts FROM streams AS s"
    " JOIN samples AS m ON m.stream = s.rowid"
    " WHERE (s.ended IS NULL OR s.ended < ?1) AND m.ts < ?1 LIMIT ?2)",
    # A rowid may be given again: its samples go before it.
    "DELETE FROM streams WHERE rowid IN (SELECT rowid FROM streams AS s WHERE ended < ?1"
    " AND NOT EXISTS (SELECT 1 FROM samples WHERE stream = s.rowid) LIMIT ?2)",
    # Its newest row stays: the next one gets a higher id than all that ever were.
    "DELETE FROM log WHERE id IN (SELECT id FROM log WHERE ts < ?"
    " AND id < (SELECT max(id) FROM log) LIMIT ?)",
)

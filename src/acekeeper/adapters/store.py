"""The store: what is told to it is kept in SQLite. Memory is what is read; the database is read
once, at the start.

One thread owns the connection. Whatever is queued while it commits goes into the next commit, so
a burst of events costs a few syncs and not one each.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from acekeeper.adapters import rows
from acekeeper.adapters.backlog import Backlog
from acekeeper.adapters.database import (
    Contents,
    close_unread,
    connect,
    failure,
    identity,
    is_corrupt,
    move_aside,
    prune,
    read,
    save,
)
from acekeeper.core.model import Breaker, EarlyEnd, Engine, Now, Stream
from acekeeper.core.state import Changes
from acekeeper.errors import StoreFailed

_RETRY_FIRST, _RETRY_LAST = 0.5, 5.0
_PRUNE_EVERY = 3600.0
_CLOSE_WITHIN = 5.0
_ANSWERED_AT_ONCE = 500  # in one turn of the event loop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Saved:
    """What the last run left, as `core.restore` takes it."""

    engines: Sequence[Engine] = ()
    streams: Sequence[Stream] = ()
    early_ends: Sequence[tuple[str, EarlyEnd]] = ()
    breaker: Breaker | None = None
    boot: str = ""
    at_least: int = 0


class _Write(NamedTuple):
    changes: Changes
    durable: asyncio.Future[None]
    wall: float


class Store:
    """`load` first: it starts the writer. `on_trouble` is told in one line what went wrong, and ''
    when a failing store writes again; `on_commit` the seconds and the writes of every commit.
    Both may be called on the writer's thread."""

    def __init__(
        self,
        path: Path,
        retention_days: int,
        *,
        on_trouble: Callable[[str], None] = lambda _: None,
        on_commit: Callable[[float, int], None] = lambda _seconds, _writes: None,
        connect: Callable[[Path], sqlite3.Connection] = connect,
    ) -> None:
        self.degraded = ""
        self._path = path
        self._retention = retention_days * 86_400.0
        self._on_trouble = on_trouble
        self._on_commit = on_commit
        self._connect = connect
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._run, name="store", daemon=True)
        self._closed = False
        # From here on the writer's own, once it runs.
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # the one we know what is in
        self._backlog = Backlog()
        self._unread = False  # the database could not be read, so what it holds is not known
        self._moved = False  # at most once a run: a disk that corrupts all would fill up with it
        self._failure: StoreFailed | None = None
        self._retry_after = _RETRY_FIRST
        self._retry_at = 0.0
        self._prune_at = 0.0

    @property
    def is_alive(self) -> bool:
        return self._writer.is_alive()

    @property
    def waiting(self) -> int:
        """Writes nobody has looked at yet, and rows that are not on disk."""
        return self._queue.qsize() + len(self._backlog.unsaved)

    def load(self, now: Now) -> Saved:
        """A database that cannot be opened is no reason not to serve: nothing is restored then,
        and writes fail until it can."""
        saved = Saved()
        try:
            saved = self._healed(lambda db: self._read(db, now))
        except (sqlite3.Error, OSError) as error:
            self._unread = True
            self._failed(error)
        self._writer.start()
        return saved

    def write(self, changes: Changes) -> asyncio.Future[None]:
        """Done when these changes and all before them are on disk; with none it waits for those
        before. StoreFailed when they are not: they are kept, and tried again."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            durable.set_exception(StoreFailed("the store is closed"))
        else:
            self._queue.put(_Write(changes, durable, time.time()))
        return durable

    async def close(self) -> None:
        """Writes what is queued, if that takes no longer than a stop may."""
        self._closed = True
        if self._writer.is_alive():
            self._queue.put(None)
            await asyncio.to_thread(self._writer.join, _CLOSE_WITHIN)
            if self._writer.is_alive():
                self._on_trouble(f"closed while {self._path} still did not take a write")

    def _run(self) -> None:
        closing = False
        while not closing:
            batch, closing = self._next_batch()
            for write in batch:
                self._take(write)
            if closing or self._failure is None or time.monotonic() >= self._retry_at:
                self._flush(len(batch))
            self._answer([write.durable for write in batch])
            if not closing and self._failure is None and time.monotonic() >= self._prune_at:
                self._prune()
        if self._failure is not None:
            self._on_trouble(f"closed with unsaved changes: {self._failure}")
        self._disconnect()  # the last connection to close empties the write-ahead log

    def _next_batch(self) -> tuple[list[_Write], bool]:
        """Everything that is queued; waits for something, or for what is due by the clock."""
        due = self._prune_at if self._failure is None else self._retry_at
        batch: list[_Write] = []
        try:
            item = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            while item is not None:
                batch.append(item)
                item = self._queue.get_nowait()
        except Empty:
            return batch, False
        return batch, True

    def _take(self, write: _Write) -> None:
        try:
            self._backlog.add(write.changes, write.wall)
        except Exception as error:  # a defect of ours; a dead writer would leave all waiting
            self._failed(error)

    def _flush(self, writes: int) -> None:
        begun = time.perf_counter()
        try:
            committed = self._healed(self._save)
        except Exception as error:
            self._failed(error)
            return
        if committed:
            self._on_commit(time.perf_counter() - begun, writes)
        if self._failure is not None:
            self._failure, self._retry_after = None, _RETRY_FIRST
            self.degraded = ""
            self._on_trouble("")

    def _save(self, db: sqlite3.Connection) -> bool:
        if self._unread:
            close_unread(db, time.time())
            self._unread = False
        if not self._backlog.unsaved:
            return False
        save(db, self._backlog.unsaved)
        self._backlog.saved()
        return True

    def _prune(self) -> None:
        self._prune_at = time.monotonic() + _PRUNE_EVERY
        try:
            more = self._healed(lambda db: prune(db, time.time() - self._retention))
        except (sqlite3.Error, OSError) as error:
            self._on_trouble(f"old rows stay for now: {failure(error, self._path)}")
            return
        if more or self._backlog.unsaved:  # there is more when the database was begun anew
            self._prune_at = 0.0

    def _healed(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does `work` on the database; on a new one if this one turns out to be corrupt. After an
        error the next work gets a new connection: what failed may be the open file itself."""
        try:
            return self._connected(work)
        except sqlite3.Error as error:
            if self._moved or not is_corrupt(error):
                raise
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            aside = move_aside(self._path, stamp)
            self._moved = True
            self._file = None
            self._backlog.start_over()
            self._on_trouble(
                f"the database was corrupt ({error}): it is now {aside}, and a new one is begun"
            )
            return self._connected(work)

    def _connected(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._file is not None and identity(self._path) != self._file:
                self._disconnect()
                self._file = None
                self._backlog.start_over()
                self._on_trouble("the database was taken away: what is current is in a new one")
            if self._db is None:
                self._db = self._connect(self._path)
                self._file = identity(self._path)
            return work(self._db)
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _failed(self, error: Exception) -> None:
        self._failure = failure(error, self._path)
        self._retry_at = time.monotonic() + self._retry_after
        self._retry_after = min(2 * self._retry_after, _RETRY_LAST)
        if self.degraded != str(self._failure):
            self.degraded = str(self._failure)
            self._on_trouble(self.degraded)

    def _answer(self, futures: list[asyncio.Future[None]]) -> None:
        if not futures:
            return
        failed, loop = self._failure, futures[0].get_loop()

        def answer(first: int = 0) -> None:
            beyond = first + _ANSWERED_AT_ONCE
            if beyond < len(futures):
                loop.call_soon(answer, beyond)
            for future in futures[first:beyond]:
                if future.done():
                    continue  # its caller went away
                if failed is None:
                    future.set_result(None)
                else:
                    future.set_exception(StoreFailed(failed.message, failed.hint))

        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(answer)

    def _read(self, db: sqlite3.Connection, now: Now) -> Saved:
        found = read(db)
        self._backlog.known(found.engines, found.started, found.early_ends, found.kept)
        return Saved(
            engines=self._decoded(rows.read_engine, found.engines, now),
            streams=self._decoded(rows.read_stream, [*found.ended, *found.started], now),
            early_ends=self._decoded(rows.read_early_end, found.early_ends, now),
            breaker=self._kept(rows.read_breaker, "breaker", found, now),
            boot=next((value for name, value in found.kept if name == "boot"), ""),
            at_least=self._kept(rows.read_at_least, "at_least", found, now) or 0,
        )

    def _kept(
        self, decode: Callable[[rows.Row, Now], T], name: str, found: Contents, now: Now
    ) -> T | None:
        values = self._decoded(decode, [row for row in found.kept if row[0] == name], now)
        return values[0] if values else None

    def _decoded(
        self, decode: Callable[[rows.Row, Now], T], found: list[rows.Row], now: Now
    ) -> list[T]:
        """A row that says what we do not know (a newer version's, say) is not worth the others."""
        values = []
        for row in found:
            try:
                values.append(decode(row, now))
            except (ValueError, TypeError) as error:
                self._on_trouble(f"a row of the database is left out: {error}")
        return values

"""The store: what is told to it is kept in SQLite. Memory is what is read; the database is read
once, at the start.

One thread owns the connection. Whatever is queued while it commits goes into the next commit, so
a burst of events costs a few syncs and not one each.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from acekeeper.adapters.backlog import Backlog
from acekeeper.adapters.copied import read_copy
from acekeeper.adapters.database import Contents, connect, failure
from acekeeper.adapters.opened import Opened
from acekeeper.adapters.readers import Readers
from acekeeper.adapters.saved import Saved, decoded
from acekeeper.adapters.threads import within
from acekeeper.adapters.wal import Identity, identity
from acekeeper.core.changes import Changes
from acekeeper.core.model import Now
from acekeeper.deadlines import Deadlines
from acekeeper.errors import StoreFailed

_RETRY_FIRST, _RETRY_LAST = 0.5, 5.0
_PRUNE_EVERY = 3600.0
_LOOK_EVERY = 1.0  # whether what was written is still there, when nothing else is to do
_READ_WITHIN = 3.0  # at the start: viewers wait
_CLOSE_WITHIN = 5.0
_WITHIN = 2.0  # seconds that a write may wait; the client gives up after 3
_AT_A_TIME = 0.75  # one thing that takes longer hangs, however much there is to do
_LATE_AGAIN = 0.1
_ANSWERED_AT_ONCE = 200  # in one turn of the event loop

_Found = tuple[Contents, Identity | None]  # what the database holds already, and in which file


class _Write(NamedTuple):
    changes: Changes
    durable: list[asyncio.Future[None]]  # its own, and of those after it that change nothing
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
        readers: Readers | None = None,
    ) -> None:
        self._path = path
        self._retention = retention_days * 86_400.0
        self._on_trouble = on_trouble
        self._on_commit = on_commit
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._newest: _Write | None = None  # until it is answered
        self._is_owed = False  # what was written last need not outlive the host
        self._promised = Deadlines[asyncio.Future[None]](_WITHIN, self._late_for)
        self._writer = threading.Thread(target=self._run, name="store", daemon=True)
        self._closed = False
        self._on_end: Callable[[], object] = lambda: None
        self._first_read: Future[Contents] = Future()
        self._loaded: SimpleQueue[_Found | None] = SimpleQueue()
        self._late = ""  # said by the event loop, taken back by the writer
        self._busy_since: float | None = None
        # From here on the writer's own, once it runs.
        self._backlog = Backlog()
        self._opened = Opened(path, self._backlog, readers or Readers(), on_trouble, connect)
        self._failure: StoreFailed | None = None
        self._failing = ""
        self._retry_after = _RETRY_FIRST
        self._retry_at = 0.0
        self._prune_at = 0.0

    @property
    def degraded(self) -> str:
        return self._late or self._failing

    @property
    def is_alive(self) -> bool:
        return self._writer.is_alive()

    @property
    def waiting(self) -> int:
        """Writes nobody has looked at yet, and rows that are not on disk."""
        return self._queue.qsize() + self._backlog.waiting

    def load(self, now: Now) -> Saved:
        """What the file says is served, also where it can only be read; writes fail until they
        can be. One that cannot even be read is no reason not to serve: nothing is restored then."""
        self._writer.start()
        found: _Found | None
        try:
            found = self._first_read.result(_READ_WITHIN), None
        except (sqlite3.Error, OSError) as error:
            if self._first_read.cancel():  # it did not fail: it is late
                self._hangs()
            found = self._read_copy(error)
        self._loaded.put(found)
        return decoded(found[0], now, self._on_trouble) if found else Saved()

    def write(self, changes: Changes) -> asyncio.Future[None]:
        """Done when these changes and all before them are on disk (those of the gateway: outlive
        this process); with none it waits for those before, and the writer hears nothing of it.
        StoreFailed when they are not, or not in time: they are kept, and tried again."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        has_any = changes.happened or changes or (self._is_owed and not changes.of_gateway)
        if self._closed:
            durable.set_exception(StoreFailed("the store is closed"))
        elif has_any or self.degraded:
            self._is_owed = changes.of_gateway
            self._newest = _Write(changes, [durable], time.time())
            self._queue.put(self._newest)
        elif self._newest:
            self._newest.durable.append(durable)
        else:
            durable.set_result(None)
        if not durable.done():
            self._promised.add(durable)
            durable.add_done_callback(self._promised.discard)
        return durable

    async def close(self) -> None:
        """Writes what is queued, if that takes no longer than a stop may."""
        self._closed = True
        if self._writer.is_alive():
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            self._on_end = lambda: loop.call_soon_threadsafe(ended.set)
            self._queue.put(None)
            # Not by a thread of the event loop's: they may all hang on the same disk.
            try:
                await asyncio.wait_for(ended.wait(), _CLOSE_WITHIN)
            except TimeoutError:
                self._on_trouble(f"closed while {self._path} still did not take a write")

    def _run(self) -> None:
        self._read()
        closing = False
        while not closing:
            if self._failure is None:
                self._tend()
            batch, closing = self._next_batch()
            for write in batch:
                self._take(write)
            if closing or self._failure is None or time.monotonic() >= self._retry_at:
                self._flush(len(batch))
            self._answer(batch)
        if self._failure is not None:
            self._on_trouble(f"closed with unsaved changes: {self._failure}")
        self._opened.close()
        with suppress(RuntimeError):  # the event loop is closed
            self._on_end()

    def _read(self) -> None:
        """For `load`, if that still waits for it; and goes on with what that found."""
        try:
            with self._busy():
                contents = self._opened.read()
        except Exception as error:
            self._failed(error)
            with suppress(InvalidStateError):
                self._first_read.set_exception(error)
        else:
            with suppress(InvalidStateError):
                self._first_read.set_result(contents)
        found = self._loaded.get()
        if found is None:
            self._opened.is_unread = True
        else:
            known, file = found
            if file is not None:
                self._opened.holds(file)
            self._backlog.known(
                known.engines, known.started, known.holds, known.early_ends, known.kept
            )

    def _next_batch(self) -> tuple[list[_Write], bool]:
        """Everything that is queued; waits for something, or for what is due by the clock."""
        due = self._retry_at
        if self._failure is None:
            due = min(self._prune_at, time.monotonic() + _LOOK_EVERY)
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
            with self._busy():
                committed = self._opened.save()
        except Exception as error:
            self._failed(error)
            return
        if committed:
            self._on_commit(time.perf_counter() - begun, writes)
        if self._failure is not None or self._late:
            self._failure, self._retry_after = None, _RETRY_FIRST
            self._failing = self._late = ""
            self._on_trouble("")

    def _tend(self) -> None:
        try:
            with self._busy():
                self._opened.tidy()
            if time.monotonic() >= self._prune_at:
                self._prune_at = time.monotonic() + _PRUNE_EVERY
                with self._busy():
                    more = self._opened.prune(time.time() - self._retention)
                if more:
                    self._prune_at = 0.0
        except (sqlite3.Error, OSError) as error:
            self._on_trouble(f"old rows, or the log, stay for now: {failure(error, self._path)}")

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._busy_since = time.monotonic()
        try:
            yield
        finally:
            self._busy_since = None

    def _late_for(self, durable: asyncio.Future[None]) -> None:
        """A write that waits behind a disk that hangs gets StoreFailed."""
        since = self._busy_since
        if durable.done():
            return
        if since is not None and time.monotonic() - since > _AT_A_TIME:
            durable.set_exception(self._hangs())
        else:
            durable.get_loop().call_later(_LATE_AGAIN, self._late_for, durable)

    def _hangs(self) -> StoreFailed:
        """On the event loop."""
        hangs = StoreFailed(
            f"the database did not take a write within {_WITHIN:g} s",
            f"See what holds up the disk under {self._path.parent}",
        )
        if not self._late:
            self._late = str(hangs)
            self._on_trouble(self._late)
        return hangs

    def _failed(self, error: Exception) -> None:
        self._failure = failure(error, self._path)
        self._retry_at = time.monotonic() + self._retry_after
        self._retry_after = min(2 * self._retry_after, _RETRY_LAST)
        self._late = ""
        if self._failing != str(self._failure):
            self._failing = str(self._failure)
            self._on_trouble(self._failing)

    def _answer(self, batch: list[_Write]) -> None:
        if not batch:
            return
        failed, loop = self._failure, batch[0].durable[0].get_loop()

        def answer_all() -> None:
            if batch[-1] is self._newest:
                self._newest = None
            answer([future for write in batch for future in write.durable])

        def answer(futures: list[asyncio.Future[None]]) -> None:
            if later := futures[_ANSWERED_AT_ONCE:]:
                loop.call_soon(answer, later)
            for future in futures[:_ANSWERED_AT_ONCE]:
                if future.done():
                    continue  # its caller went away
                if failed is None:
                    future.set_result(None)
                else:
                    future.set_exception(StoreFailed(failed.message, failed.hint))

        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(answer_all)

    def _read_copy(self, error: Exception) -> _Found | None:
        file = identity(self._path)
        try:
            return within(_READ_WITHIN, lambda: read_copy(self._path)), file
        except (FileNotFoundError, NotADirectoryError):
            return None  # there is none
        except (sqlite3.Error, OSError) as also:
            self._on_trouble(f"what the database holds is not known ({error}; {also})")
            return None

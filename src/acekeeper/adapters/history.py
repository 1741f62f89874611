"""What is on disk, read for an operator: beside the store, on threads of its own."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from acekeeper.adapters.database import connect_to_read, failure
from acekeeper.adapters.readers import Readers
from acekeeper.adapters.rows import LOG, SAMPLE, read_log, read_sample
from acekeeper.core.inspection import Logged
from acekeeper.core.model import Now, Sample
from acekeeper.errors import StoreFailed

_AT_ONCE = 2
_WITHIN = 5.0
_LOOK_AT_THE_CLOCK_EVERY = 10_000  # steps of SQLite's machine
_NO_TIME = Now(0.0, 0.0)  # what is read here is placed on no monotonic clock
_STREAM = "SELECT rowid, started FROM streams WHERE id = ?"
_SAMPLES = (
    f"SELECT {', '.join(SAMPLE)} FROM samples"  # noqa: S608
    " WHERE stream = ? AND ts >= ? ORDER BY ts DESC LIMIT ?"
)

T = TypeVar("T")


class History:
    """Each read has a connection of its own, that cannot write: the file may be another one by
    then. All raise StoreFailed."""

    def __init__(self, path: Path, readers: Readers | None = None, within: float = _WITHIN) -> None:
        self._path = path
        self._readers = readers or Readers()
        self._within = within
        self._free = asyncio.Semaphore(_AT_ONCE)  # threads; a caller can stop waiting for one
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="history")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def log(
        self, kind: str | None, since: float | None, limit: int, port: int | None = None
    ) -> Sequence[Logged]:
        """The newest first."""
        wanted = [("kind = ?", kind), ("port = ?", port), ("ts >= ?", since)]
        given = [(sql, value) for sql, value in wanted if value is not None]
        where = f"WHERE {' AND '.join(sql for sql, _ in given)}" if given else ""
        return await self._logged(
            f"{where} ORDER BY ts DESC, id DESC LIMIT ?", *(value for _, value in given), limit
        )

    async def log_after(self, last: int, limit: int) -> Sequence[Logged]:
        """The oldest first."""
        return await self._logged("WHERE id > ? ORDER BY id LIMIT ?", last, limit)

    async def newest_id(self) -> int:
        sql = "SELECT coalesce(max(id), 0) FROM log"
        (newest,) = await self._read(lambda db: db.execute(sql).fetchone())
        return int(newest)

    async def samples(self, stream_id: str, since: float, limit: int) -> Sequence[Sample] | None:
        """The newest of them, the oldest first. None: there is no such stream."""

        def read(db: sqlite3.Connection) -> list[Sample] | None:
            found = db.execute(_STREAM, (stream_id,)).fetchone()
            if found is None:
                return None
            stream, started = found
            values = (stream, max(since, started), limit)
            return [read_sample(row, _NO_TIME) for row in db.execute(_SAMPLES, values)][::-1]

        return await self._read(read)

    async def _logged(self, rest: str, *values: object) -> Sequence[Logged]:
        sql = " ".join(("SELECT id,", ", ".join(LOG), "FROM log", rest))
        return await self._read(lambda db: [read_log(row) for row in db.execute(sql, values)])

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        deadline = time.monotonic() + self._within
        try:
            async with asyncio.timeout(self._within):
                await self._free.acquire()
                done = self._threads.submit(self._on_thread, work, deadline)
                # When it ends, and that may be long after nobody waits for it any more.
                done.add_done_callback(partial(self._is_free, asyncio.get_running_loop()))
                return await asyncio.wrap_future(done)
        except TimeoutError:
            raise self._late() from None

    def _is_free(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(self._free.release)

    def _on_thread(self, work: Callable[[sqlite3.Connection], T], deadline: float) -> T:
        def is_late() -> bool:
            return time.monotonic() > deadline

        try:
            with (
                self._readers.reading(deadline - time.monotonic()),
                closing(connect_to_read(self._path)) as db,
            ):
                db.set_progress_handler(is_late, _LOOK_AT_THE_CLOCK_EVERY)
                return work(db)
        except sqlite3.Error as error:
            raise self._late() if is_late() else failure(error, self._path) from error

    def _late(self) -> StoreFailed:
        return StoreFailed(f"the database was not read within {self._within:g} s")

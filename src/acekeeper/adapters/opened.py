"""The database as the writer has it open: what is saved is in files that are still there. If they
are lost under our hands, it is written again."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from acekeeper.adapters import database
from acekeeper.adapters.backlog import Backlog
from acekeeper.adapters.database import LOG_AT_REST, Contents, save
from acekeeper.adapters.readers import Readers
from acekeeper.adapters.wal import Disturbed, Identity, Log, Seen, WrittenByOthers, identity

_TRIES = 3
_LARGE = 4 * LOG_AT_REST
_EMPTIED_EVERY = 5.0  # seconds: so long may a reader take, and the writer waits for it
_READERS_WITHIN = 6.0

T = TypeVar("T")


class _Connected(NamedTuple):
    db: sqlite3.Connection
    # Closed after it, so that `db` is not the last to close: SQLite would put into the database
    # whatever the log is by then, and remove it.
    guard: sqlite3.Connection

    def close(self) -> None:
        self.db.close()
        self.guard.close()


class Opened:
    """Used by one thread. `tell` gets in one line what was wrong and is mended."""

    def __init__(
        self,
        path: Path,
        backlog: Backlog,
        readers: Readers,
        tell: Callable[[str], None],
        connect: Callable[[Path], sqlite3.Connection],
    ) -> None:
        self.is_unread = False  # what the database holds is not known
        self._path = path
        self._backlog = backlog
        self._readers = readers
        self._tell = tell
        self._connect = connect
        self._connected: _Connected | None = None
        self._log: Log | None = None
        self._file: Identity | None = None  # the file whose contents we know
        self._is_suspect = False
        self._is_to_disk = True  # what is committed on this connection
        self._is_owed = False  # what was saved last did not go to the disk
        self._moved = False  # at most once a run: a disk that corrupts all would fill up with it
        self._tidy_from = LOG_AT_REST
        self._empty_at = 0.0

    def holds(self, file: Identity) -> None:
        """What is known of the database was read from this file."""
        if self._file is None:
            self._file = file

    def read(self) -> Contents:
        return self._healed(lambda db, _: database.read(db))

    def save(self) -> bool:
        """Whether anything was unsaved. In any case all that was saved before is still there."""
        return self._healed(self._save)

    def prune(self, before: float) -> bool:
        """Whether there may be more."""
        more, _ = self._healed(lambda db, log: _commit(db, log, lambda: database.prune(db, before)))
        return more

    def tidy(self) -> None:
        """Keeps the log short, as far as readers let it."""
        log = self._log
        if log is None or log.size >= self._tidy_from or log.file_size > _LARGE:
            self._healed(self._tidy)

    def close(self) -> None:
        """And empties the log."""
        with suppress(Disturbed, OSError):
            if self._connected is not None and self._log is not None:
                self._log.check(wrote=False)
                self._connected.guard.close()
        self._disconnect()

    def _save(self, db: sqlite3.Connection, log: Log) -> bool:
        if self.is_unread:
            _commit(db, log, lambda: database.close_unread(db, time.time()))
            self.is_unread = False
        if not self._backlog.unsaved and log.check(wrote=False) is Seen.EMPTIED:
            self._backlog.again()
        if not self._backlog.unsaved and not (self._is_owed and self._backlog.unsaved.to_disk):
            self._backlog.unsaved.to_disk = False
            return False
        for _ in range(_TRIES):
            rows = self._backlog.numbered(lambda: database.newest_log_id(db))
            if self._is_to_disk != rows.to_disk:
                database.keep(db, to_disk=rows.to_disk)
                self._is_to_disk = rows.to_disk
            work = partial(save, db, rows) if rows else partial(database.mark, db)
            _, seen = _commit(db, log, work)
            self._is_owed = not rows.to_disk
            self._backlog.saved()
            if seen is not Seen.EMPTIED:
                return True
            self._backlog.again()
        raise Disturbed(f"the write-ahead log of {self._path} is emptied all the time")

    def _tidy(self, db: sqlite3.Connection, log: Log) -> None:
        now = time.monotonic()
        is_large = log.file_size > _LARGE and now >= self._empty_at
        if not is_large and log.size < self._tidy_from:
            return
        if log.check(wrote=False) is Seen.EMPTIED:
            self._backlog.again()
            return
        if is_large:
            self._empty_at = now + _EMPTIED_EVERY
            log.empty(db)
        else:
            log.put_into_database(db)
        if log.is_whole:
            self._backlog.in_database()
        self._tidy_from = LOG_AT_REST + (0 if log.is_whole else log.size)

    def _healed(self, work: Callable[[sqlite3.Connection, Log], T]) -> T:
        """Does `work` on the database; on a new one if this one turns out to be corrupt. After an
        error the next work gets a new connection: what failed may be the open file itself."""
        for left in reversed(range(_TRIES)):
            try:
                return self._on_connection(work)
            except Disturbed as error:
                self._mend(error)
                if not left:
                    raise
            except sqlite3.Error as error:
                if self._moved or not left or not database.is_corrupt(error):
                    raise
                self._begin_anew(error)
        raise AssertionError

    def _on_connection(self, work: Callable[[sqlite3.Connection, Log], T]) -> T:
        try:
            if self._file is not None and identity(self._path) != self._file:
                self._leave_old()
            if self._connected is None or self._log is None:
                with self._readers.kept_out(_READERS_WITHIN) if self._is_suspect else nullcontext():
                    self._connected, self._log = self._open()
                self._is_suspect = False
                self._backlog.again()
            return work(self._connected.db, self._log)
        except BaseException:
            self._disconnect()
            raise

    def _open(self) -> tuple[_Connected, Log]:
        db = self._connect(self._path)
        connected = _Connected(db, database.connect_to_read(self._path))
        try:
            self._is_to_disk = True
            connected.guard.execute("SELECT 1 FROM sqlite_master").fetchone()
            self._file = identity(self._path)
            log = Log(self._path, db)
            if self._is_suspect:
                database.require_sound(db)
        except BaseException:
            connected.close()
            raise
        return connected, log

    def _disconnect(self) -> None:
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def _leave_old(self) -> None:
        """For the file that has its name now, if there is one."""
        if self._log is not None:
            if self._connected is not None and self._log.is_in_place():
                self._connected.guard.close()
            self._disconnect()
            self._log.remove()
        self._is_suspect = True  # a reader may have opened that file with what is removed now
        self._file = self._log = None
        self._backlog.start_over(is_new=True)
        self._tell("the database was taken away: what is current is in a new one")

    def _mend(self, error: Disturbed) -> None:
        self._is_suspect = True
        if self._log is None or identity(self._path) != self._file:
            return  # there is more to it, and that comes next
        self._backlog.start_over(is_new=False)
        if not isinstance(error, WrittenByOthers):
            self._log.remove(unless_intact=True)
            self._tell(f"{error}: what was in it is written again")

    def _begin_anew(self, error: sqlite3.Error) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = database.move_aside(self._path, f"corrupt-{stamp}")
        self._moved = True
        self._file = self._log = None
        self._backlog.start_over(is_new=True)
        self._tell(f"the database was corrupt ({error}): it is now {aside}, and a new one is begun")


def _commit(db: sqlite3.Connection, log: Log, work: Callable[[], T]) -> tuple[T, Seen]:
    """One that is in the files that are there."""
    before = db.total_changes
    done = work()
    if db.total_changes == before:
        return done, log.check(wrote=False)
    seen = log.check(wrote=True)
    if seen is Seen.SAME:  # perhaps all was there already
        database.mark(db)
        seen = log.check(wrote=True)
        if seen is Seen.SAME:
            raise Disturbed("what is written to the write-ahead log does not get there")
    return done, seen

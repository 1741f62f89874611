"""The write-ahead log as it lies on disk: what of it is committed, and whether it is still the one
that SQLite writes to.

SQLite goes on writing to files that were removed, replaced or cut, and says nothing."""

import errno
import os
import sqlite3
import struct
import weakref
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

_HEADER, _FRAME = 32, 24  # bytes, the latter before every page
_READ_AT_ONCE = 16  # frames
_MAGIC, _BIG_ENDIAN = 0x377F0682, 1


class Disturbed(OSError):
    """What was committed may not be in the files that are there; says what happened to them."""


class WrittenByOthers(Disturbed):
    """Perhaps only a checkpoint of somebody else, which loses nothing."""


class Seen(Enum):
    SAME = auto()
    COMMIT = auto()
    EMPTIED = auto()  # into the database by somebody else, as it seems


class Identity(NamedTuple):
    device: int
    inode: int


def identity(path: Path) -> Identity | None:
    """Of the file that has this name now, if one does."""
    file = _status(path)
    return Identity(file.st_dev, file.st_ino) if file else None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


class Log:
    """What the files of an open database were like after the last commit of ours.

    Nothing here opens the database or its -shm: a process that closes a file drops all its locks on
    it (POSIX wants it so), and these are SQLite's."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._path, self._wal, self._shm = path, beside(path, "-wal"), beside(path, "-shm")
        self._known = {part: identity(part) for part in (path, self._wal, self._shm)}
        self._written = (0, 0)
        self.is_whole = False  # the database itself has all of it
        frames = self.put_into_database(db)
        if frames < 0:
            raise BlockingIOError(errno.EAGAIN, "somebody else does that just now")
        self._open = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._open)
        self.file_size = os.fstat(self._open).st_size  # when it was checked last
        self._header = os.pread(self._open, _HEADER, 0)
        self._end = _HEADER + (frames * self._step() if frames else 0)
        self._last = self._frame(self._end - self._step()) if frames else b""

    @property
    def size(self) -> int:
        """Of what is committed and was not begun anew since."""
        return self._end

    def put_into_database(self, db: sqlite3.Connection, mode: str = "PASSIVE") -> int:
        """As far as others let us; how many frames are in the log
        (-1: others let us not even begin)."""
        try:
            row = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            self._written = self._database()
        busy, frames, moved = row
        self.is_whole = not busy and moved == frames
        return int(frames)

    def empty(self, db: sqlite3.Connection) -> None:
        """The file, too. Others have some time to let us."""
        self.put_into_database(db, "TRUNCATE")
        if self.is_whole:
            self._header, self._end, self._last = b"", _HEADER, b""

    def check(self, *, wrote: bool) -> Seen:
        """At any time, and after every commit: whether it `wrote` to the log. Raises Disturbed.

        Every call to the system gives up the interpreter, so there are few."""
        files = [self._there(part, known) for part, known in self._known.items()]
        self.file_size = files[1].st_size
        is_foreign = (files[0].st_size, files[0].st_mtime_ns) != self._written
        header = os.pread(self._open, _HEADER, 0)
        if header == self._header:
            if self._last and self._frame(self._end - self._step()) != self._last:
                raise Disturbed(f"{self._wal} was overwritten or cut")
            if is_foreign:
                raise WrittenByOthers(f"somebody else wrote to {self._path}")
            return self._followed() if wrote else Seen.SAME
        if is_foreign and self.is_whole:
            raise WrittenByOthers(f"somebody else wrote to {self._path}")
        if not is_foreign and not self.is_whole:
            raise Disturbed(f"{self._wal} was overwritten or cut")
        # Begun anew, since the database has all that was in it.
        self.is_whole = True
        self._written = self._database()
        seen = self._followed_anew(header) if wrote else Seen.SAME
        return Seen.EMPTIED if is_foreign else seen

    @staticmethod
    def _there(part: Path, known: Identity | None) -> os.stat_result:
        file = _status(part)
        if file is None or (file.st_dev, file.st_ino) != known:
            raise Disturbed(f"{part} was taken away or replaced")
        return file

    def is_in_place(self) -> bool:
        return identity(self._wal) == self._known[self._wal]

    def remove(self, *, unless_intact: bool = False) -> None:
        """If others made something else of it, nobody is to take that for the database's."""
        header = os.pread(self._open, _HEADER, 0)
        is_intact = unless_intact and self.is_in_place() and header == self._header
        for part in (self._shm,) if is_intact else (self._wal, self._shm):
            if identity(part) == self._known[part] is not None:
                part.unlink()

    def _database(self) -> tuple[int, int]:
        file = self._path.stat()
        return file.st_size, file.st_mtime_ns

    def _followed_anew(self, header: bytes) -> Seen:
        if len(header) < _HEADER:
            return Seen.SAME
        before = self._header, self._end, self._last
        self._header, self._end, self._last = header, _HEADER, b""
        seen = self._followed()
        if seen is Seen.SAME:
            self._header, self._end, self._last = before
        return seen

    def _followed(self) -> Seen:
        """To the end of the next commit, if there is one."""
        end = self._end
        for frame in self._heads(end):
            if frame[8:16] != self._header[16:24]:
                break
            end += self._step()
            if frame[4:8] != bytes(4):  # the last of a commit says how long the database is
                if os.fstat(self._open).st_size < end:
                    break
                self._end, self._last, self.is_whole = end, frame, False
                return Seen.COMMIT
        return Seen.SAME

    def _heads(self, at: int) -> Iterator[bytes]:
        """Of frames. Many are read at once: a read gives up the interpreter."""
        step = self._step()
        while data := os.pread(self._open, _READ_AT_ONCE * step, at):
            yield from (data[n : n + _FRAME] for n in range(0, len(data), step))
            at += _READ_AT_ONCE * step

    def _frame(self, at: int) -> bytes:
        return os.pread(self._open, _FRAME, at)

    def _step(self) -> int:
        return _FRAME + _page_size(self._header)


def committed(log: bytes) -> tuple[dict[int, bytes], int]:
    """The newest of every page in a whole log, by its number, and how many pages the database has
    then (0: the log has nothing)."""
    order = ">" if _magic(log) & _BIG_ENDIAN else "<"
    sums = _checksum(log[:24], (0, 0), order)
    if _magic(log) & ~_BIG_ENDIAN != _MAGIC or sums != struct.unpack(">II", log[24:_HEADER]):
        return {}, 0
    pages: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    size = 0
    for head, page in _frames(log):
        number, size_then = struct.unpack(">II", head[:8])
        sums = _checksum(head[:8] + page, sums, order)
        if head[8:16] != log[16:24] or sums != struct.unpack(">II", head[16:]):
            break
        pending[number] = page
        if size_then:
            pages |= pending
            pending, size = {}, size_then
    return pages, size


def _frames(log: bytes) -> Iterator[tuple[bytes, bytes]]:
    step = _FRAME + _page_size(log)
    for at in range(_HEADER, len(log) - step + 1, step):
        yield log[at : at + _FRAME], log[at + _FRAME : at + step]


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    for even, odd in struct.iter_unpack(f"{order}II", data):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _magic(header: bytes) -> int:
    return int.from_bytes(header[:4], "big")


def _page_size(header: bytes) -> int:
    return int.from_bytes(header[8:12], "big")

"""The database read without being opened: where it cannot be written, SQLite cannot open it (a
left log, no room for a -shm), and all it holds can be read all the same."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from acekeeper.adapters.database import Contents, read
from acekeeper.adapters.migrations import migrate
from acekeeper.adapters.wal import beside, committed

_TRIES = 5


def read_copy(path: Path) -> Contents:
    """What is committed, read into memory. Only while nobody writes; that others take the log into
    the database meanwhile is no harm."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        if image := _image(path):
            db.deserialize(image)
        migrate(db)
        return read(db)


def _image(path: Path) -> bytearray:
    image, log = _both(path)
    pages, size = committed(log) if log else ({}, 0)
    if pages:
        (page,) = {len(page) for page in pages.values()}
        image = image[: size * page].ljust(size * page, b"\0")
        for number, content in pages.items():
            image[(number - 1) * page : number * page] = content
    if image:
        image[18:20] = b"\1\1"  # without a write-ahead log: in memory there is none
    return image


def _both(path: Path) -> tuple[bytearray, bytes]:
    """The database and its log, with nothing that was moved from one to the other in between."""
    before = _log(path)
    for _ in range(_TRIES):
        image = _database(path)
        log, before = before, _log(path)
        if log == before:
            return image, log
    raise sqlite3.OperationalError(f"the write-ahead log of {path} changes all the time")


def _database(path: Path) -> bytearray:
    # Never closed: this would drop the locks of a connection that is just being opened.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return bytearray(file.read())


def _log(path: Path) -> bytes:
    try:
        return beside(path, "-wal").read_bytes()
    except FileNotFoundError:
        return b""

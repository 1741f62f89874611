"""What the tests of the store share: values, a store that is closed again, a disk that fails."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from acekeeper.adapters.database import connect
from acekeeper.adapters.saved import Saved
from acekeeper.adapters.store import Store
from acekeeper.core.changes import Changes
from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Hold
from acekeeper.core.model import Engine, KeyType, Now, Stream
from acekeeper.core.names import Slot

NOW = Now(1_700_000_000.0, 1_000.0)
SLOT = Slot("127.0.0.1", 19000)
ENGINE = Engine(slot=SLOT, incarnation="first", created=NOW, ready=NOW)

HOLD = Hold(content=Content("infohash", "k" * 40), since=NOW.after(-1))
OTHER = Hold(content=Content("content_id", "o" * 40), infohash="i" * 40, token="token", since=NOW)


def stream(stream_id: str, **other: Any) -> Stream:
    values: dict[str, Any] = {
        "key_type": KeyType.INFOHASH,
        "key": "k",
        "session": "s",
        "stat_url": "http://127.0.0.1:19000/ace/stat/k/s",
        "is_live": True,
        "address": ("127.0.0.1", 19000),
        "started": NOW,
        "slot": SLOT,
        "incarnation": "first",
    }
    return Stream(id=stream_id, **{**values, **other})


def started(*ids: str) -> Changes:
    return Changes(streams={i: stream(i) for i in ids})


class Troubles:
    """What the store told, to be waited for on the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, trouble: str) -> None:
        self._loop.call_soon_threadsafe(self._told.put_nowait, trouble)

    async def wait_for(self, wanted: Callable[[str], bool]) -> str:
        async with asyncio.timeout(20):
            while not wanted(told := await self._told.get()):
                pass
            return told

    async def over(self) -> None:
        await self.wait_for(lambda told: not told)


class Disk:
    """Opens the database as the store does, and makes SQLite itself fail on demand."""

    def __init__(self) -> None:
        self.wrong = ""
        self.db: sqlite3.Connection

    def __call__(self, path: Path) -> sqlite3.Connection:
        self.db = connect(path)
        self.db.execute(self.wrong)
        return self.db

    def fail(self, pragma: str) -> None:
        """Only while nothing is being written: the open connection fails from here on too."""
        self.wrong = pragma
        self.db.execute(pragma)

    def heal(self) -> None:
        self.wrong = ""


class Levels:
    """How far the disk was waited for at every commit: 1 not at all, 2 until all is on it."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.seen: list[int] = []

    def __call__(self, *_: object) -> None:
        self.seen += self._disk.db.execute("PRAGMA synchronous").fetchone()


@asynccontextmanager
async def running(path: Path, **options: Any) -> AsyncIterator[Store]:
    store = Store(path, 7, **options)
    store.load(NOW)
    try:
        yield store
    finally:
        await store.close()


async def next_run(path: Path, now: Now = NOW) -> Saved:
    store = Store(path, 7)
    saved = store.load(now)
    await store.close()
    return saved


def select(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()

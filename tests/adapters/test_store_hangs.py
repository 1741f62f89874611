"""The store on a disk that hangs, or that can only be read."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acekeeper.adapters.database import connect, save
from acekeeper.adapters.store import Store
from acekeeper.core.changes import Changes, Happening
from acekeeper.core.model import Breaker, EarlyEnd
from acekeeper.errors import StoreFailed

from .storing import ENGINE, NOW, SLOT, Troubles, next_run, running, select, started, stream

LONG = 36_500  # days, so that nothing here is old


class Hanging:
    """Opens the database as soon as it may."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def __call__(self, path: Path) -> sqlite3.Connection:
        self.may.wait(60)
        return connect(path)


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def __call__(self, path: Path) -> sqlite3.Connection:
        if self.error:
            raise self.error
        return connect(path)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Clear it, and every commit waits until it is set."""
    may = threading.Event()
    may.set()

    def when_it_may(*args: Any) -> None:
        may.wait(60)
        save(*args)

    monkeypatch.setattr("acekeeper.adapters.opened.save", when_it_may)
    yield may
    may.set()


async def filled(path: Path, *, is_killed: bool) -> None:
    """By a run that had it all."""
    store = Store(path, LONG)
    store.load(NOW)
    await store.write(
        Changes(
            engines={SLOT: ENGINE},
            streams={"plays": stream("plays"), "played": stream("played", ended=NOW)},
            early_ends={"early": EarlyEnd(NOW, "eof")},
            breaker=Breaker(3, NOW, NOW),
            boot="b1",
            at_least=4,
        )
    )
    if not is_killed:
        await store.close()


async def test_a_write_that_hangs_fails_in_time_and_is_kept(
    path: Path, commits: threading.Event
) -> None:
    troubles = Troubles()
    async with running(path, on_trouble=troubles) as store:
        commits.clear()
        began = time.monotonic()
        writes = [store.write(started(f"s{n}")) for n in range(100)]
        for write in writes:
            with pytest.raises(StoreFailed, match="did not take a write within 2 s"):
                await write
        assert time.monotonic() - began < 3
        assert "did not take a write" in store.degraded
        assert await troubles.wait_for(bool) == store.degraded
        with pytest.raises(StoreFailed):
            await store.write(started("later"))
        commits.set()
        await troubles.over()
        assert store.degraded == ""
        await store.write(Changes())
        assert select(path, "SELECT count(*) FROM streams") == [(101,)]


async def test_commits_that_are_slow_one_after_another_do_not_add_up(
    path: Path, commits: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each below the limit, and yet the second one is too late for who waited for the first."""
    monkeypatch.setattr("acekeeper.adapters.store._WITHIN", 0.05)
    monkeypatch.setattr("acekeeper.adapters.store._AT_A_TIME", 1000.0)
    looked = asyncio.Semaphore(0)
    async with running(path) as store, asyncio.timeout(20):
        late_for = store._late_for

        def look(durable: asyncio.Future[None]) -> None:
            looked.release()
            late_for(durable)

        monkeypatch.setattr(store, "_late_for", look)
        commits.clear()
        patient = store.write(started("s"))
        for _ in range(3):  # it is late by then, but much is done, and it is soon its turn
            await looked.acquire()
        assert not patient.done()
        monkeypatch.setattr("acekeeper.adapters.store._AT_A_TIME", 0.0)
        with pytest.raises(StoreFailed, match="did not take a write"):
            await patient
        commits.set()


async def test_a_stop_does_not_wait_for_a_disk_that_hangs(
    path: Path, commits: threading.Event
) -> None:
    troubles = Troubles()
    store = Store(path, 7, on_trouble=troubles)
    store.load(NOW)
    commits.clear()
    write = store.write(started("s"))
    await store.close()
    with pytest.raises(StoreFailed):
        await write
    await troubles.wait_for(lambda told: "still did not take a write" in told)
    commits.set()
    await asyncio.to_thread(store._writer.join, 20)
    assert select(path, "SELECT id FROM streams") == [("s",)]


@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.parametrize("is_late", [True, False])
async def test_what_can_be_read_but_not_written_is_served_and_goes_on(
    path: Path, is_killed: bool, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path, is_killed=is_killed)
    monkeypatch.setattr("acekeeper.adapters.store._READ_WITHIN", 0.2)
    troubles = Troubles()
    hanging, failing = Hanging(), Failing(OSError(28, "No space left on device"))
    store = Store(path, LONG, on_trouble=troubles, connect=hanging if is_late else failing)
    saved = store.load(NOW)
    assert saved.engines == [ENGINE]
    assert [s.id for s in saved.streams] == ["played", "plays"]
    assert saved.early_ends == [("early", EarlyEnd(NOW, "eof"))]
    assert (saved.breaker, saved.boot, saved.at_least) == (Breaker(3, NOW, NOW), "b1", 4)
    assert ("did not take a write" if is_late else "the disk is full") in store.degraded
    with pytest.raises(StoreFailed):
        await store.write(started("new"))
    hanging.may.set()
    failing.error = None
    await troubles.over()
    await store.write(Changes(happened=[Happening("back")]))
    await store.close()
    again = await next_run(path)
    assert again.engines == [ENGINE]
    assert [(s.id, s.reason) for s in again.streams] == [("played", ""), ("plays", ""), ("new", "")]
    assert again.early_ends == saved.early_ends


async def test_what_was_read_and_is_gone_by_then_is_begun_anew(path: Path) -> None:
    await filled(path, is_killed=False)
    troubles, failing = Troubles(), Failing(sqlite3.OperationalError("no"))
    async with running(path, on_trouble=troubles, connect=failing) as store:
        await asyncio.to_thread(path.unlink)
        failing.error = None
        await troubles.over()
        assert store.degraded == ""
        assert [s.id for s in (await next_run(path)).streams] == ["plays"]

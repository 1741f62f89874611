"""The store on a disk that fails."""

import asyncio
import random
import shutil
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from acekeeper.adapters.backlog import Rows
from acekeeper.adapters.database import failure, move_aside, save
from acekeeper.adapters.store import Store
from acekeeper.core.changes import Changes, Happening
from acekeeper.core.model import Breaker, EarlyEnd, Health
from acekeeper.errors import StoreFailed

from .storing import (
    ENGINE,
    HOLD,
    NOW,
    SLOT,
    Disk,
    Levels,
    Troubles,
    next_run,
    running,
    select,
    started,
    stream,
)

_FULL = "PRAGMA max_page_count = 1"
_READ_ONLY = "PRAGMA query_only = 1"
_BIG = Changes(happened=[Happening("big", data={"x": "x" * 1000})] * 1000)


@asynccontextmanager
async def failing(path: Path, pragma: str) -> AsyncIterator[tuple[Store, Disk, Troubles]]:
    """A store that took some writes in two runs and then failed one."""
    disk, troubles = Disk(), Troubles()
    end = EarlyEnd(NOW, "eof")
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE}, breaker=Breaker(2), boot="b1"))
        await store.write(Changes(early_ends={"early": end, "unneeded": end}))
        await store.write(started("earlier"))
    async with running(path, connect=disk, on_trouble=troubles) as store:
        await store.write(started("later"))
        await store.write(Changes(early_ends={"late": end, "unneeded": None}))
        disk.fail(pragma)
        with pytest.raises(StoreFailed):
            await store.write(_BIG)
        yield store, disk, troubles


@pytest.mark.parametrize(
    ("pragma", "what", "hint"),
    [(_FULL, "disk is full", "Free space at"), (_READ_ONLY, "read-only", "writable")],
)
async def test_what_fails_is_said_kept_and_written_later(
    path: Path, pragma: str, what: str, hint: str
) -> None:
    async with failing(path, pragma) as (store, disk, troubles):
        assert what in store.degraded
        assert f"{hint} {path.parent if pragma == _FULL else ''}".strip() in store.degraded
        assert await troubles.wait_for(bool) == store.degraded
        healthier = replace(ENGINE, health=Health.HEALTHY)
        for change in (replace(ENGINE, health=Health.UNHEALTHY), healthier):
            with pytest.raises(StoreFailed, match=what):
                await store.write(Changes(engines={SLOT: change}))
        disk.heal()
        await troubles.over()
        assert store.degraded == ""
        await store.write(Changes())
        assert select(path, "SELECT health FROM engines") == [("healthy",)]
        assert select(path, "SELECT DISTINCT kind FROM log") == [("big",), ("log_begun",)]


async def test_what_failed_goes_to_the_disk_also_when_the_gateway_writes_next(path: Path) -> None:
    """What was written before, and is written again with it, did not have to."""
    disk, troubles = Disk(), Troubles()
    levels = Levels(disk)
    async with running(path, connect=disk, on_trouble=troubles, on_commit=levels) as store:
        await store.write(Changes(holds={ENGINE.ref: (HOLD,)}, of_gateway=True))
        disk.fail(_READ_ONLY)
        for change in (started("s"), Changes(holds={ENGINE.ref: ()}, of_gateway=True)):
            with pytest.raises(StoreFailed):
                await store.write(change)
        disk.heal()
        await troubles.over()
    assert levels.seen == [1, 2]


async def test_a_barrier_behind_a_failed_write_fails(path: Path) -> None:
    async with failing(path, _READ_ONLY) as (store, disk, troubles):
        first, duplicate = store.write(started("s")), store.write(Changes())
        for future in (first, duplicate):
            with pytest.raises(StoreFailed):
                await future
        with pytest.raises(StoreFailed):
            await store.write(Changes())
        disk.heal()
        await troubles.over()
        await store.write(Changes())
        assert select(path, "SELECT id FROM streams WHERE id = 's'") == [("s",)]


async def test_a_lock_of_somebody_else_is_waited_out(path: Path) -> None:
    troubles = Troubles()
    async with running(path, on_trouble=troubles) as store:
        await store.write(started("a"))
        with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreFailed, match="locked by another process"):
                await store.write(started("b"))
        await troubles.over()
        await store.write(Changes())
        assert select(path, "SELECT count(*) FROM streams") == [(2,)]


async def test_closing_with_unsaved_changes_is_told(path: Path) -> None:
    async with failing(path, _READ_ONLY) as (_, _, troubles):
        pass
    await troubles.wait_for(lambda told: "closed with unsaved" in told)


async def test_without_a_directory_it_starts_and_recovers(path: Path) -> None:
    path.parent.write_text("no directory")
    troubles = Troubles()
    store = Store(path, 7, on_trouble=troubles)
    try:
        assert not store.load(NOW).engines
        assert "cannot be opened" in store.degraded
        with pytest.raises(StoreFailed, match="cannot be opened"):
            await store.write(started("s"))
        path.parent.unlink()
        await troubles.over()
        await store.write(Changes())
        assert select(path, "SELECT id FROM streams") == [("s",)]
    finally:
        await store.close()


async def test_a_database_that_is_deleted_is_begun_anew_with_what_is_current(path: Path) -> None:
    """SQLite itself would go on writing to the deleted file."""
    troubles = Troubles()
    async with running(path, on_trouble=troubles) as store:
        await store.write(Changes(engines={SLOT: ENGINE}))
        await store.write(Changes(holds={ENGINE.ref: (HOLD,)}))
        await store.write(started("before"))
        shutil.rmtree(path.parent)
        await store.write(started("after"))
        saved = await next_run(path)
        assert {s.id for s in saved.streams} == {"before", "after"}
        assert saved.holds == [(ENGINE.ref, HOLD)]
        assert [e.slot for e in saved.engines] == [SLOT]
        await troubles.wait_for(lambda told: "taken away" in told)


async def test_a_database_that_is_deleted_while_the_disk_is_full_loses_nothing_current(
    path: Path,
) -> None:
    async with failing(path, _FULL) as (store, disk, troubles):
        shutil.rmtree(path.parent)
        disk.heal()
        await troubles.over()
        await store.write(Changes())
        saved = await next_run(path)
        assert {s.id for s in saved.streams} == {"earlier", "later"}


async def test_what_was_in_a_lost_log_is_written_once_more_and_not_twice(path: Path) -> None:
    troubles = Troubles()
    async with running(path, on_trouble=troubles) as store:
        for kind in ("a", "b", "b"):
            await store.write(Changes(streams={}, happened=[Happening(kind)]))
        await store.write(started("s"))
        before = select(path, "SELECT * FROM log ORDER BY id")
        wal = path.with_name(f"{path.name}-wal")
        await asyncio.to_thread(wal.unlink)
        await store.write(Changes(happened=[Happening("c")]))
        told = await troubles.wait_for(lambda told: str(wal) in told)
        assert told.endswith("was taken away or replaced: what was in it is written again")
        after = select(path, "SELECT * FROM log ORDER BY id")
        assert after[:-1] == before
        assert [row[2] for row in after] == ["log_begun", "a", "b", "b", "c"]
        assert select(path, "SELECT id FROM streams") == [("s",)]


async def test_a_loss_is_found_and_mended_without_a_write(path: Path) -> None:
    troubles, commits = Troubles(), Troubles()
    async with running(path, on_trouble=troubles, on_commit=lambda *_: commits("one")) as store:
        await store.write(started("s"))
        await commits.wait_for(bool)
        await asyncio.to_thread(path.with_name(f"{path.name}-wal").unlink)
        await troubles.wait_for(lambda told: "written again" in told)
        await commits.wait_for(bool)
        assert select(path, "SELECT id FROM streams") == [("s",)]


async def test_files_that_are_lost_again_and_again_are_no_place_to_keep_anything(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(path) as store:
        await store.write(started("before"))
        with monkeypatch.context() as meanwhile:

            def save_and_lose(db: sqlite3.Connection, rows: Rows) -> None:
                save(db, rows)
                path.with_name(f"{path.name}-wal").unlink()

            meanwhile.setattr("acekeeper.adapters.opened.save", save_and_lose)
            with pytest.raises(StoreFailed, match="again and again") as failed:
                await store.write(started("after"))
            assert f"Keep others away from {path}" in failed.value.hint


async def test_where_no_new_database_can_be_nothing_is_acknowledged(path: Path) -> None:
    async with running(path) as store:
        await store.write(started("before"))
        shutil.rmtree(path.parent)
        path.parent.touch()
        with pytest.raises(StoreFailed, match="cannot be opened"):
            await store.write(started("after"))


async def test_a_database_that_could_not_be_read_at_the_start_is_brought_up_to_date(
    path: Path, tmp_path: Path
) -> None:
    elsewhere = replace(ENGINE, slot=SLOT._replace(port=19001))
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE, elsewhere.slot: elsewhere}))
        await store.write(started("a", "b"))
        await store.write(Changes(holds={ENGINE.ref: (HOLD,)}))
    away = path.parent.rename(tmp_path / "away")
    path.parent.touch()
    troubles = Troubles()
    async with running(path, on_trouble=troubles) as store:
        with pytest.raises(StoreFailed):
            await store.write(Changes(engines={SLOT: ENGINE}, streams={"a": stream("a")}))
        path.parent.unlink()
        away.rename(path.parent)
        await troubles.over()
    saved = await next_run(path)
    assert saved.engines == [ENGINE]
    assert [(s.id, s.reason) for s in saved.streams] == [("b", "lost"), ("a", "")]
    assert saved.holds == []


def spoil_all(path: Path) -> bytes:
    path.write_bytes(b"this is no database " * 1000)
    return path.read_bytes()


def spoil_the_middle(path: Path) -> bytes:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    return path.read_bytes()


def spoil_the_index_of_the_log(path: Path) -> None:
    ((page,),) = select(path, "SELECT rootpage FROM sqlite_master WHERE name = 'log_ts'")
    ((size,),) = select(path, "PRAGMA page_size")
    content = path.read_bytes()
    path.write_bytes(content[: (page - 1) * size] + b"\xff" * size + content[page * size :])


@pytest.mark.parametrize("spoil", [spoil_all, spoil_the_middle])
async def test_a_corrupt_database_is_moved_aside_and_kept(
    path: Path, spoil: Callable[[Path], bytes]
) -> None:
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE}))
    content = spoil(path)
    troubles = Troubles()
    async with running(path, on_trouble=troubles) as store:
        assert store.degraded == ""
        told = await troubles.wait_for(lambda told: "corrupt" in told)
        await store.write(started("s"))
    (aside,) = path.parent.glob("*.corrupt-*")
    assert str(aside) in told
    assert aside.read_bytes() == content
    assert [s.id for s in (await next_run(path)).streams] == ["s"]


def test_what_belongs_to_the_database_goes_with_it(path: Path) -> None:
    path.parent.mkdir()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_text(suffix)
    aside = move_aside(path, "corrupt-then")
    assert aside == path.with_name("acekeeper.db.corrupt-then")
    assert {p.name: p.read_text() for p in path.parent.iterdir()} == {
        aside.name + suffix: suffix for suffix in ("", "-wal", "-shm")
    }


async def test_corruption_met_while_running_costs_only_history(path: Path) -> None:
    async with failing(path, _READ_ONLY) as (store, disk, troubles):
        spoil_all(path)
        disk.heal()
        await troubles.wait_for(lambda told: "corrupt" in told)
        await troubles.over()
        await store.write(Changes())
    saved = await next_run(path)
    assert saved.engines == [ENGINE]
    assert saved.streams == [stream("earlier"), stream("later")]
    assert [stream_id for stream_id, _ in saved.early_ends] == ["early", "late"]
    assert saved.breaker == Breaker(2)
    assert saved.boot == "b1"


async def test_corruption_met_while_pruning_does_not_wait_for_the_next_write(path: Path) -> None:
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE}, happened=[Happening("a")]))
    spoil_the_index_of_the_log(path)
    committed = threading.Event()
    async with running(path, on_commit=lambda _seconds, _writes: committed.set()):
        assert await asyncio.to_thread(committed.wait, 20)
        assert select(path, "SELECT start FROM engines") == [("first",)]


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (sqlite3.SQLITE_IOERR_WRITE, "the disk does not take writes"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "the database is read-only"),
        (sqlite3.SQLITE_ERROR, "the database cannot be used"),
    ],
)
def test_sqlites_finer_codes_have_the_meaning_of_their_kind(
    path: Path, code: int, what: str
) -> None:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    assert failure(error, path).message == f"{what} (no)"


async def test_a_disk_that_corrupts_every_database_is_not_filled_with_them(path: Path) -> None:
    path.parent.mkdir()
    spoil_all(path)
    disk, troubles = Disk(), Troubles()
    async with running(path, connect=disk, on_trouble=troubles) as store:
        await store.write(started("before"))  # then the writer does nothing more with its database
        disk.fail(_READ_ONLY)
        with pytest.raises(StoreFailed):
            await store.write(started("s"))
        spoil_all(path)
        spoil_all(path.with_name(f"{path.name}-wal"))  # it has all pages of a new database
        disk.heal()
        await troubles.wait_for(lambda told: "corrupt again" in told)
        assert "restart" in store.degraded
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1


_WRITE_UNTIL_KILLED = """
import asyncio, itertools, sys
from pathlib import Path
from adapters.storing import NOW, Store, started

async def viewer(store, n):
    for m in itertools.count():
        await store.write(started(f"{n}-{m}"))
        sys.stdout.write(f"{n}-{m}\\n")
        sys.stdout.flush()

async def main():
    store = Store(Path(sys.argv[1]), 7)
    store.load(NOW)
    await asyncio.gather(*(viewer(store, n) for n in range(20)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _WRITE_UNTIL_KILLED, str(path)),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    wanted = random.randint(1, 2000)
    lines = [await process.stdout.readline() for _ in range(wanted)]
    process.kill()
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    acknowledged = {line.decode().strip() for line in lines if line.endswith(b"\n")}
    assert len(acknowledged) >= wanted
    assert acknowledged <= {s.id for s in (await next_run(path)).streams}

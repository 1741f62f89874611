"""Whatever others do to the database's files, what was acknowledged is there after kill -9."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from . import foreign
from .client import Client
from .conftest import MakeService
from .service import NO_SWEEPS, Service, eventually
from .test_durability import started
from .test_trouble import is_well

pytestmark = pytest.mark.timeout(300)

SETTINGS = {"MIN_REPLICAS": 0, **NO_SWEEPS}


async def tell(service: Service, name: str, count: int) -> set[str]:
    """Of so many streams; those acknowledged."""
    streams = [f"{name}-{n}" for n in range(count)]
    async with Client(service.base) as client:
        told = await asyncio.gather(
            *(client.event("/events/stream_started", started(stream)) for stream in streams)
        )
    return {stream for stream, is_told in zip(streams, told, strict=True) if is_told}


@asynccontextmanager
async def readers(service: Service) -> AsyncIterator[None]:
    """Some that look at the log again and again."""

    async def read() -> None:
        while True:
            async with http.get(f"{service.base}/log?limit=1000") as answer:
                await answer.read()

    async with aiohttp.ClientSession() as http:
        tasks = [asyncio.create_task(read()) for _ in range(4)]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def killed_and_started(service: Service) -> set[str]:
    """The streams it knows then."""
    await service.kill()
    await service.start()
    return await service.stream_ids("started")


async def test_another_program_that_locks_and_one_that_reads_cost_nothing(
    service: MakeService,
) -> None:
    running = service(SETTINGS)
    await running.start()
    database = running.state / "acekeeper.db"
    kept = await tell(running, "before", 1000)
    assert len(kept) == 1000
    async with readers(running):
        for n in range(4):
            with foreign.holding(database, "BEGIN IMMEDIATE"):
                assert await tell(running, f"locked-{n}", 1) == set()
            await eventually(lambda: is_well(running))
    assert foreign.run(database, "SELECT count(*) FROM streams") == "[(1004,)]"
    after = await tell(running, "after", 20)
    assert len(after) == 20
    assert await is_well(running)
    assert after | kept <= await killed_and_started(running)


def remove(*suffixes: str) -> Callable[[Path, Path], None]:
    def act(database: Path, _: Path) -> None:
        for suffix in suffixes:
            beside(database, suffix).unlink()

    return act


def replace(suffix: str) -> Callable[[Path, Path], None]:
    """By an older copy, under the same name."""

    def act(database: Path, older: Path) -> None:
        copy = beside(database, ".copy")
        shutil.copy(beside(older, suffix), copy)
        copy.rename(beside(database, suffix))

    return act


def copy_over(suffix: str) -> Callable[[Path, Path], None]:
    def act(database: Path, older: Path) -> None:
        shutil.copyfile(beside(older, suffix), beside(database, suffix))

    return act


def cut(suffix: str) -> Callable[[Path, Path], None]:
    def act(database: Path, _: Path) -> None:
        os.truncate(beside(database, suffix), 0)

    return act


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


async def with_an_older_copy(service: Service, tmp_path: Path) -> tuple[set[str], Path]:
    """A service that told of some streams, was copied, and told of more; all those, and where the
    copy is."""
    await service.start()
    first = await tell(service, "first", 40)
    older = tmp_path / "acekeeper.db"
    for suffix in ("", "-wal"):
        shutil.copy(beside(service.state / "acekeeper.db", suffix), beside(older, suffix))
    second = await tell(service, "second", 40)
    assert len(first | second) == 80
    return first | second, older


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(remove("-wal"), id="log-removed"),
        pytest.param(remove("-wal", "-shm"), id="log-and-index-removed"),
        pytest.param(remove("-shm"), id="index-removed"),
        pytest.param(remove(""), id="database-removed"),
        pytest.param(remove("", "-wal", "-shm"), id="all-removed"),
        pytest.param(replace("-wal"), id="log-replaced"),
        pytest.param(replace(""), id="database-replaced"),
        pytest.param(copy_over("-wal"), id="log-copied-over"),
        pytest.param(cut("-wal"), id="log-cut"),
    ],
)
@pytest.mark.parametrize("is_idle", [True, False])
async def test_files_lost_under_the_service_lose_nothing(
    service: MakeService, tmp_path: Path, act: Callable[[Path, Path], None], is_idle: bool
) -> None:
    running = service(SETTINGS)
    kept, older = await with_an_older_copy(running, tmp_path)
    act(running.state / "acekeeper.db", older)
    if is_idle:
        await running.logged("store_degraded")  # that it is mended
    kept |= await tell(running, "after", 20)
    assert len(kept) == 100
    assert await is_well(running)
    assert kept <= await killed_and_started(running)


async def test_a_database_copied_over_under_the_service_loses_nothing(
    service: MakeService, tmp_path: Path
) -> None:
    running = service(SETTINGS)
    kept, older = await with_an_older_copy(running, tmp_path)
    copy_over("")(running.state / "acekeeper.db", older)
    kept |= await tell(running, "after", 20)
    assert len(kept) == 100
    assert kept <= await killed_and_started(running)


async def test_an_index_that_is_cut_ends_the_service_and_nothing_is_lost(
    service: MakeService, tmp_path: Path
) -> None:
    """SQLite has it mapped: the kernel ends whoever looks at it then."""
    running = service(SETTINGS)
    kept, older = await with_an_older_copy(running, tmp_path)
    cut("-shm")(running.state / "acekeeper.db", older)
    with suppress(aiohttp.ClientError):
        await tell(running, "after", 1)
    assert await running.exited() == -signal.SIGBUS
    await running.start()
    assert kept <= await running.stream_ids("started")


async def test_who_only_reads_or_empties_the_log_raises_no_alarm(service: MakeService) -> None:
    running = service(SETTINGS)
    await running.start()
    kept: set[str] = set()
    for sql in (
        "SELECT count(*) FROM streams",
        "PRAGMA wal_checkpoint(PASSIVE)",
        "SELECT count(*) FROM streams",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ):
        kept |= await tell(running, f"before {sql}{len(kept)}", 20)
        foreign.run(running.state / "acekeeper.db", sql)
        kept |= await tell(running, f"after {sql}{len(kept)}", 20)
    assert len(kept) == 200
    assert running.log("store_degraded") == []
    assert kept <= await killed_and_started(running)


async def test_a_log_that_grew_behind_a_reader_gets_short_again(service: MakeService) -> None:
    running = service(SETTINGS | {"LOG_LEVEL": "ERROR"})
    await running.start()
    database = running.state / "acekeeper.db"

    def size() -> int:
        return beside(database, "-wal").stat().st_size

    async with readers(running):
        with foreign.holding(database, "BEGIN", "SELECT count(*) FROM streams"):
            count = 0
            while size() <= 20 << 20:
                count += 1
                batch = [started(f"{count}-{n}") for n in range(500)]
                answer = await running.call("POST", "/events/batch", {"started": batch}, 30.0)
                assert answer.status == 200
        await eventually(lambda: asyncio.to_thread(lambda: size() <= 4 << 20))
    assert await is_well(running)
    assert len(await killed_and_started(running)) == 500 * count

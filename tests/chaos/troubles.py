"""What befalls a service from outside: another program at its database, a reader of its log that
stands still, a disk that is full or hangs."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any

import aiohttp

from ..contract.service import Service
from ..disks import Disk

# Opens the file, reads, holds the lock or takes the log into it, and closes it, for ever.
_FOREIGN = """
import random, sqlite3, sys, time
choose = random.Random(sys.argv[2])
while True:
    db = sqlite3.connect(sys.argv[1], timeout=1, isolation_level=None)
    try:
        db.execute("SELECT count(*) FROM streams").fetchall()
        deed = choose.random()
        if deed < 0.3:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(choose.uniform(0, 0.8))
            db.execute("ROLLBACK")
        elif deed < 0.6:
            mode = choose.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
            db.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    except sqlite3.Error:
        pass  # busy, or not there yet
    db.close()
    time.sleep(choose.uniform(0, 0.5))
"""
# What a killed service left of a line is no line.
_COLLECTOR = """
import sys
with open(sys.argv[1], "ab", buffering=0) as log:
    for line in sys.stdin.buffer:
        if line.endswith(b"\\n"):
            log.write(line)
"""


class Collected(Service):
    """Its log goes through a process that can stand still, as a journal does."""

    collector: subprocess.Popen[bytes] | None = None

    def launch(self, **popen: Any) -> subprocess.Popen[bytes]:
        self.wait_for_collector()
        command = [sys.executable, "-c", _COLLECTOR, str(self.log_file)]
        self.collector = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            return super().launch(stderr=self.collector.stdin, **popen)
        finally:
            assert self.collector.stdin
            self.collector.stdin.close()

    def wait_for_collector(self) -> None:
        """It ends with the service, having read all."""
        if self.collector is not None:
            self.collector.send_signal(signal.SIGCONT)
            self.collector.wait()

    def end(self) -> None:
        super().end()
        self.wait_for_collector()


@contextmanager
def foreign(service: Service, seed: int) -> Iterator[None]:
    database = service.state / "acekeeper.db"
    with subprocess.Popen([sys.executable, "-c", _FOREIGN, str(database), str(seed)]) as process:
        try:
            yield
        finally:
            process.kill()


@asynccontextmanager
async def log_readers(service: Service) -> AsyncIterator[None]:
    async def read(http: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with http.get(f"{service.base}/log?limit=1000") as answer:
                    await answer.read()
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass  # it was killed
            await asyncio.sleep(0.01)

    async with aiohttp.ClientSession() as http, _running(read(http), read(http)):
        yield


@asynccontextmanager
async def pauses_of_the_collector(service: Collected, rng: Random) -> AsyncIterator[None]:
    async def pause() -> None:
        while True:
            await asyncio.sleep(rng.uniform(0, 0.5))
            collector = service.collector
            if collector is None:
                continue
            collector.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(rng.uniform(0, 0.5))
            finally:
                collector.send_signal(signal.SIGCONT)

    async with _running(pause()):
        yield


@asynccontextmanager
async def disk_faults(disk: Disk, rng: Random) -> AsyncIterator[None]:
    async def fail() -> None:
        while True:
            await asyncio.sleep(rng.uniform(0, 2))
            begin, end = rng.choice([(disk.fill, disk.make_room), (disk.freeze, disk.thaw)])
            try:
                begin()
                await asyncio.sleep(rng.uniform(0, 1))
            finally:
                end()

    async with _running(fail()):
        yield


@asynccontextmanager
async def _running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [end for end in ends if isinstance(end, Exception)], ends

"""Days of streams and engines that come and go: what is kept stays as much as it is."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

import aiohttp

from ..api import bodies
from ..contract.service import Service
from . import hurry
from .audience import Audience

SPEED = 720  # a day in two minutes
DAY_S = 86_400
WARM_UP_S = 1.25 * DAY_S / SPEED  # beyond the retention, so that as much goes as comes
THIRD_S = 90.0
# Than in the third before. One object kept of every stream would be more.
MORE_BLOCKS_AT_MOST = 1.02
MORE_DATABASE_AT_MOST = 1.05
# Of memory: what objects leave free between them stays with the process, as much as the largest
# answers and batches happened to need at once. What is no object may still not grow by more.
MORE_MEMORY_AT_MOST = 1.25
SETTINGS: dict[str, object] = {
    "RETENTION_DAYS": 1,
    "LOG_LEVEL": "WARNING",
    "MIN_REPLICAS": 2,
    "MAX_REPLICAS": 6,
    "CIRCUIT_BREAKER_THRESHOLD": 1000,
    # By the fast clock: seconds by the true one.
    "PROVISION_TIMEOUT_S": 3600,
    "PROVISION_STARTUP_GRACE_S": 3600,
    "ENGINE_GRACE_PERIOD_S": 3600,
    # By the true one.
    "HEALTH_CHECK_INTERVAL_S": 2,
    "MONITOR_INTERVAL_S": 2,
    "AUTOSCALE_INTERVAL_S": 2,
}
_TOLD_EVERY_S = 0.25
_TOLD_AT_ONCE = 25
_ENGINE_DIES_EVERY_S = 4.0


class Sample(NamedTuple):
    blocks: int  # that Python's objects take
    memory: int  # bytes that are acekeeper's alone
    database: int  # bytes, with what is not yet moved into its main file


class Soak:
    def __init__(self, directory: Path, seed: int) -> None:
        self._rng = Random(seed)
        self._service = Service(directory / "state", SETTINGS, slots=12, start_delay=0)
        self._blocks = directory / "blocks"
        self._service.command = [
            sys.executable,
            "-m",
            hurry.__name__,
            str(SPEED),
            str(self._blocks),
        ]
        self._audience = Audience(self._service.base, self._service.gateway, seed, viewers=4)
        self._streams = count()
        self._killed = 0

    async def run(self) -> str:
        tasks = []
        try:
            await self._service.start(engines=1)
            await self._audience.come()
            tasks = [asyncio.create_task(work) for work in (self._tell(), self._kill())]
            await self._measure(WARM_UP_S)
            thirds = [await self._measure(THIRD_S) for _ in range(3)]
            for task in tasks:
                assert not task.done(), task.exception()
            said = self._judge(thirds)
        finally:
            for task in tasks:
                task.cancel()
            await self._audience.leave()
            self._service.end()
        return said

    def _judge(self, thirds: list[Sample]) -> str:
        told = next(self._streams)
        kept, oldest = self._kept()
        _, middle, last = thirds
        sizes = [
            f"{s.blocks:,}, {s.memory / 2**20:.1f} and {s.database / 2**20:.1f} MiB" for s in thirds
        ]
        said = (
            f"{told:,} streams and {self._audience.counts['viewers']:,} viewers in"
            f" {(WARM_UP_S + 3 * THIRD_S) * SPEED / DAY_S:.1f} days, {self._killed} engines killed;"
            f" blocks, memory and database by thirds: {'; '.join(sizes)}; {kept:,} streams kept"
        )
        assert last.blocks <= MORE_BLOCKS_AT_MOST * middle.blocks, said
        assert last.memory <= MORE_MEMORY_AT_MOST * middle.memory, said
        assert last.database <= MORE_DATABASE_AT_MOST * middle.database, said
        assert kept < told / 2, said
        # What is too old goes once an hour.
        assert oldest < 1.5 * DAY_S, f"{said}; the oldest for {oldest / DAY_S:.1f} days"
        return said

    def _kept(self) -> tuple[int, float]:
        """How many streams the database has, and for how long the oldest has been over."""
        with closing(sqlite3.connect(self._database())) as db:
            rows, first, last = db.execute(
                "SELECT count(*), min(ended), max(ended) FROM streams"
            ).fetchone()
        return rows, last - first

    async def _measure(self, seconds: float) -> Sample:
        """The middle of samples taken all along: a peak is not growth."""
        deadline = time.monotonic() + seconds
        samples = []
        while time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            samples.append(self._sample())
        return Sample(*(int(median(values)) for values in zip(*samples, strict=True)))

    def _sample(self) -> Sample:
        assert self._service.process
        pid = self._service.process.pid
        os.kill(pid, hurry.COUNTS_AT)  # for the next sample
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        kilobytes = dict(line.split()[:2] for line in rollup.splitlines()[1:])
        files = self._service.state.glob("acekeeper.db*")
        return Sample(
            int(self._blocks.read_text("ascii")),
            1024 * int(kilobytes["Anonymous:"]),
            sum(f.stat().st_size for f in files),
        )

    def _database(self) -> Path:
        return self._service.state / "acekeeper.db"

    async def _tell(self) -> None:
        """Of streams that begin and end, on engines that are not ours and on those that are. Some
        ends come first, and some starts have none. As many an hour all along, however slow the
        machine is: so many are kept."""
        last: list[str] = []
        due = time.monotonic()
        async with aiohttp.ClientSession() as http:
            while True:
                ports = [port for port, _ in self._service.engine_processes()] or [1]
                streams = [f"s{n}" for n in self._next()]
                body = {
                    "started": [
                        bodies.started(
                            port=self._rng.choice([1, *ports]), labels={"stream_id": stream}
                        )
                        for stream in streams
                    ],
                    "ended": [
                        {"stream_id": stream}
                        for stream in [*last, *(f"{s}-before-its-start" for s in streams[:2])]
                    ],
                }
                async with http.post(f"{self._service.base}/events/batch", json=body) as answer:
                    assert answer.status == 200, await answer.text()
                last = streams[2:]
                due += _TOLD_EVERY_S
                await asyncio.sleep(due - time.monotonic())

    def _next(self) -> Iterator[int]:
        return (next(self._streams) for _ in range(_TOLD_AT_ONCE))

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(_ENGINE_DIES_EVERY_S)
            processes = self._service.engine_processes()
            if processes:
                os.kill(self._rng.choice(processes)[1], signal.SIGKILL)
                self._killed += 1

"""Days of streams, players and engines that come and go: what is kept stays as much as it is."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
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
    "MIN_REPLICAS": 4,
    "MAX_REPLICAS": 10,
    "CIRCUIT_BREAKER_THRESHOLD": 1000,
    # By the fast clock: seconds by the true one.
    "PROVISION_TIMEOUT_S": 3600,
    "PROVISION_STARTUP_GRACE_S": 3600,
    "ENGINE_GRACE_PERIOD_S": 3600,
    # By the true one.
    "GATEWAY_IDLE_S": 2,
    "HEALTH_CHECK_INTERVAL_S": 2,
    "MONITOR_INTERVAL_S": 2,
    "AUTOSCALE_INTERVAL_S": 2,
}
_TOLD_EVERY_S = 0.25
_TOLD_AT_ONCE = 25
_IN_MEMORY = 11_000  # told streams: the newest ended ones, and some more
_TOLD_ON = 2  # engines; players get none of these
_ENGINE_DIES_EVERY_S = 4.0
_PLAYED_EVERY_S = 0.05
_SLOTS = 12
# What the state may hold of the gateway.
MOST = {
    "plays": 20,  # two players and a proxy, who ask, and hang up, faster than it is seen
    "holds": _SLOTS,
    "readers": _SLOTS,
    "tokens": 9 * 10_000,
    "infohashes": 4096,
    "refusals": 100,
}


class Sample(NamedTuple):
    blocks: int  # that Python's objects take
    memory: int  # bytes that are acekeeper's alone
    database: int  # bytes, with what is not yet moved into its main file


class Soak:
    def __init__(self, directory: Path, seed: int) -> None:
        self._rng = Random(seed)
        self._service = Service(directory / "state", SETTINGS, slots=_SLOTS, start_delay=0)
        self._counts = directory / "counts"
        self._service.command = [
            sys.executable,
            "-m",
            hurry.__name__,
            str(SPEED),
            str(self._counts),
        ]
        self._audience = Audience(self._service.base, self._service.gateway, seed, viewers=4)
        self._told = 0
        self._killed = 0
        self._played: Counter[str] = Counter()
        self._most = dict.fromkeys(MOST, 0)

    async def run(self) -> str:
        tasks = []
        try:
            await self._service.start(engines=1)
            await self._audience.come()
            tasks = [
                asyncio.create_task(work) for work in (self._tell(), self._play(), self._kill())
            ]
            await self._measure(WARM_UP_S)
            while self._told < _IN_MEMORY:  # a slow machine takes longer to tell so many
                await self._measure(1)
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
        told = self._told
        kept, oldest = self._kept()
        _, middle, last = thirds
        sizes = [
            f"{s.blocks:,}, {s.memory / 2**20:.1f} and {s.database / 2**20:.1f} MiB" for s in thirds
        ]
        said = (
            f"{told:,} streams and {self._audience.counts['viewers']:,} viewers in"
            f" {(WARM_UP_S + 3 * THIRD_S) * SPEED / DAY_S:.1f} days, {self._killed} engines killed;"
            f" the gateway: {self._audience.counts['players']:,} players,"
            f" {self._played['served']:,} more sessions, {self._played['refused']:,} refused,"
            f" {self._played['not served']:,} not served, at most {self._most};"
            f" blocks, memory and database by thirds: {'; '.join(sizes)}; {kept:,} streams kept"
        )
        assert last.blocks <= MORE_BLOCKS_AT_MOST * middle.blocks, said
        assert last.memory <= MORE_MEMORY_AT_MOST * middle.memory, said
        assert last.database <= MORE_DATABASE_AT_MOST * middle.database, said
        assert kept < told / 2, said
        assert all(self._most[name] <= most for name, most in MOST.items()), said
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
        counts = json.loads(self._counts.read_text("ascii"))
        for name, most in self._most.items():
            self._most[name] = max(most, counts.get(name, 0))
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        kilobytes = dict(line.split()[:2] for line in rollup.splitlines()[1:])
        files = self._service.state.glob("acekeeper.db*")
        return Sample(
            counts["blocks"],
            1024 * int(kilobytes["Anonymous:"]),
            sum(f.stat().st_size for f in files),
        )

    def _database(self) -> Path:
        return self._service.state / "acekeeper.db"

    async def _tell(self) -> None:
        """Of streams that begin and end, on engines that are not ours and on some of ours. Some
        ends come first, and some starts have none. As many an hour all along, however slow the
        machine is: so many are kept."""
        last: list[str] = []
        due = time.monotonic()
        async with aiohttp.ClientSession() as http:
            while True:
                ports = [port for port, _ in self._service.engine_processes()][:_TOLD_ON]
                streams = [f"s{self._told + n}" for n in range(_TOLD_AT_ONCE)]
                self._told += _TOLD_AT_ONCE
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

    async def _play(self) -> None:
        """A proxy opens a channel and stops it. A channel in fifty is dead."""
        due = time.monotonic()
        async with aiohttp.ClientSession() as http:
            for n in count():
                content = f"{self._rng.getrandbits(160):040x}"
                if n % 50 == 0:
                    for port, _ in self._service.engine_processes():
                        with suppress(aiohttp.ClientError):  # it starts, or was killed
                            await self._service.fault_of(port, "load_fails", content)
                url = f"{self._service.gateway}/ace/getstream?format=json&id={content}"
                async with http.get(url) as answer:
                    said = await answer.json(content_type=None)
                if session := said["response"]:
                    self._played["served"] += 1
                    async with http.get(f"{session['command_url']}?method=stop") as answer:
                        assert (await answer.json(content_type=None))["response"] == "ok"
                else:
                    self._played["refused" if answer.status == 200 else "not served"] += 1
                due += _PLAYED_EVERY_S
                await asyncio.sleep(due - time.monotonic())

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(_ENGINE_DIES_EVERY_S)
            processes = self._service.engine_processes()
            if processes:
                os.kill(self._rng.choice(processes)[1], signal.SIGKILL)
                self._killed += 1

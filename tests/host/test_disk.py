"""Disks that are full, read-only or hang, for real: file systems of their own on this machine."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from ..api import bodies
from ..contract.client import Client, Waits
from ..contract.service import LIMIT_S, NO_SWEEPS, Service, eventually
from ..contract.viewer import Viewer
from ..disks import Disk, as_account

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]

ENGINE = Path(__file__).parents[1] / "chaos/start_engine.py"
STARTS = "--start-delay 0.1 --bitrate 128"


def started(stream: str) -> dict[str, Any]:
    return bodies.started(labels={"stream_id": stream})


class Fault(NamedTuple):
    begin: Callable[[Disk], None]
    end: Callable[[Disk], None]


FAULTS = {
    "full": Fault(Disk.fill, Disk.make_room),
    "read-only": Fault(Disk.make_read_only, Disk.make_writable),
    "frozen": Fault(Disk.freeze, Disk.thaw),
}


class World:
    """A service of an account that keeps its state on a disk of its own."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self.disk = disk
        self._behaviour = directory / "behaviour"
        self.engines_start(True)
        command = f"{sys.executable} {ENGINE} {self._behaviour} {{http_port}} {{api_port}}"
        settings = {
            "MIN_REPLICAS": 0,
            "CIRCUIT_BREAKER_THRESHOLD": 1,
            "CIRCUIT_BREAKER_TIMEOUT_S": 3600,
            # Its output kept open a file on the disk, which could not be made read-only then.
            "ENGINE_COMMAND": f"sh -c 'exec {command} >/dev/null 2>&1'",
            **NO_SWEEPS,
        }
        self.service = Service(disk.path / "state", settings, slots=3, start_delay=0)
        self.service.log_file = directory / "stderr"
        self.service.command = as_account(self.service.command)
        self.service.stop_command = as_account(self.service.stop_command)

    def engines_start(self, well: bool) -> None:
        self._behaviour.write_text(STARTS if well else "exit 2")

    async def start(self, **popen: Any) -> None:
        """The breaker may be open, so that it need not be ready."""
        self.service.launch(**popen)
        await eventually(self.answers)

    async def answers(self) -> bool:
        process = self.service.process
        assert process
        assert process.poll() is None, f"ended with {process.returncode}:\n{self.service.said()}"
        try:
            return (await self.service.call("GET", "/health/ready")).status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def tell(self, stream: str) -> int:
        answer = await self.service.call("POST", "/events/stream_started", started(stream))
        return answer.status

    async def is_kept(self, stream: str) -> bool:
        return await self.tell(stream) == 202

    async def degraded(self) -> list[str]:
        wrong: list[str] = (await self.service.get("/health/ready"))["degraded"]
        return wrong

    async def is_well(self) -> bool:
        return not await self.degraded()

    async def store_degraded(self) -> float:
        said = (await self.service.call("GET", "/metrics")).body.decode()
        return float(said.rpartition("\norch_store_degraded ")[2].split("\n")[0])

    async def seen(self) -> dict[str, Any]:
        """What the file has to bring back."""
        engines = await self.service.get("/engines")
        return {
            "engines": {e["container_id"]: sorted(e["streams"]) for e in engines},
            "streams": await self.service.stream_ids("started"),
            "ended": await self.service.stream_ids("ended"),
            "breaker": (await self.service.get("/health/ready"))["circuit_state"],
        }


@pytest.fixture(params=[4096, 1024], ids=["4 KiB", "1 KiB"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path, request.param) as disk:
        yield disk


@pytest.fixture
def world(tmp_path: Path, disk: Disk) -> Iterator[World]:
    world = World(tmp_path, disk)
    try:
        yield world
    finally:
        disk.thaw()
        world.service.end()


@asynccontextmanager
async def playing(world: World) -> AsyncIterator[Viewer]:
    """Somebody who plays, three streams elsewhere, and an open breaker."""
    async with (
        Client(world.service.base, waits=Waits(after_provision=0)) as client,
        Viewer(client, "c" * 40) as viewer,
    ):
        await viewer.begin()
        assert viewer.start_acknowledged
        await viewer.takes(1)
        for n in range(3):
            assert await world.tell(f"elsewhere-{n}") == 202
        world.engines_start(False)
        assert (await world.service.call("POST", "/provision/acestream")).status == 503
        yield viewer


@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("kind", FAULTS)
async def test_a_start_that_cannot_write_forgets_nothing(
    world: World, kind: str, ended: signal.Signals
) -> None:
    fault = FAULTS[kind]
    await world.start()
    async with playing(world) as viewer:
        before = await world.seen()
        assert before["engines"] == {next(iter(before["engines"])): [viewer.stream_id]}
        assert before["breaker"] == "open"
        assert len(before["streams"]) == 4
        assert world.service.process
        world.service.process.send_signal(ended)
        await world.service.exited()

        fault.begin(world.disk)
        await world.start()
        assert await world.seen() == before
        assert [wrong.split(":")[0] for wrong in await world.degraded()] == ["store"]
        assert await world.store_degraded() == 1
        assert await world.tell("meanwhile") == 503
        answer = await world.service.call("POST", "/sweeps/streams", within=LIMIT_S)
        assert answer.status == 200
        assert (await world.seen())["streams"] >= before["streams"]

        fault.end(world.disk)
        await eventually(lambda: world.is_kept("after"))
        await eventually(world.is_well)
        assert await world.store_degraded() == 0
        await world.service.kill()
        await world.start()
        after = await world.seen()
        assert after["streams"] == before["streams"] | {"meanwhile", "after"}
        assert {**after, "streams": before["streams"]} == before
        assert viewer.plays
    assert world.service.log("stream_ended") == []


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Of the log, as a journal is."""
    with (
        (tmp_path / "collected").open("wb") as file,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


async def test_a_disk_that_hangs_is_told_and_costs_nothing(
    world: World, collector: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Whoever collects the log stands still, too."""
    told = {f"before-{n}" for n in range(1000)}
    await world.start(stderr=collector.stdin)
    collector.send_signal(signal.SIGSTOP)
    batch = {"started": [started(stream) for stream in told]}
    answer = await world.service.call("POST", "/events/batch", batch, within=LIMIT_S)
    assert all(result["success"] for result in answer.json["started"])

    world.disk.freeze()
    # Each is answered within the patience of its client; so are those who only look.
    meanwhile = {f"meanwhile-{n}" for n in range(30)}
    assert set(await asyncio.gather(*map(world.tell, meanwhile))) == {503}
    assert [wrong.split(":")[0] for wrong in await world.degraded()] == ["store"]
    assert await world.store_degraded() == 1
    for path in ("/engines", "/orchestrator/status", "/panel", "/streams?status=started"):
        assert (await world.service.call("GET", path)).status == 200
    assert await world.service.stream_ids("started") == told | meanwhile

    world.disk.thaw()
    collector.send_signal(signal.SIGCONT)
    await eventually(lambda: world.is_kept("after"))
    await eventually(world.is_well)
    assert await world.store_degraded() == 0

    async def events() -> set[str]:
        lines = (tmp_path / "collected").read_text().split("\n")[:-1]
        return {json.loads(line)["event"] for line in lines}

    async def was_collected() -> bool:
        return {"store_degraded", "store_recovered"} <= await events()

    await eventually(was_collected)
    assert "log_lines_lost" not in await events()  # so few wait for their reader
    await world.service.kill()
    await world.start()
    assert await world.service.stream_ids("started") == told | meanwhile | {"after"}
    assert await world.degraded() == []

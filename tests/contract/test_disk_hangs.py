"""A disk that hangs is told in time, costs no read, and loses nothing."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from .client import Client
from .conftest import MakeService
from .service import NO_SWEEPS, Service, eventually
from .test_durability import started
from .test_trouble import is_well

pytestmark = pytest.mark.timeout(300)

SETTINGS = {"MIN_REPLICAS": 0, **NO_SWEEPS}
_STOP_WITHIN = 20.0  # what systemd gives it

# The service, on a disk that neither takes a commit nor lets the log be read while a file is there.
_HANGING = """
import select, sys
from pathlib import Path
from acekeeper.adapters import history, opened
from acekeeper.cli import main

hangs, save, open_to_read = Path(sys.argv[1]), opened.save, history.connect_to_read

def wait():
    while hangs.exists():
        select.select([], [], [], 0.01)

opened.save = lambda db, rows: (wait(), save(db, rows))
history.connect_to_read = lambda path: (wait(), open_to_read(path))[1]
sys.exit(main(["serve"]))
"""


class Disk:
    def __init__(self, marked: Path) -> None:
        self.marked = marked

    def hang(self) -> None:
        self.marked.touch()

    def go_on(self) -> None:
        self.marked.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "hangs")


@pytest.fixture
def running(service: MakeService, disk: Disk) -> Service:
    running = service(SETTINGS)
    running.command = [sys.executable, "-c", _HANGING, str(disk.marked)]
    return running


async def test_an_event_is_refused_in_time_and_written_later(running: Service, disk: Disk) -> None:
    await running.start()
    async with Client(running.base) as client:
        assert await client.event("/events/stream_started", started("before"))
    disk.hang()
    events = [
        running.call("POST", "/events/stream_started", started(f"during-{n}")) for n in range(20)
    ]
    for answer in await asyncio.gather(*events):  # within the client's patience
        assert answer.status == 503
        assert "did not take a write" in answer.json["detail"]
        assert str(running.state) in answer.json["detail"]
    [wrong] = (await running.get("/health/ready"))["degraded"]
    assert "did not take a write" in wrong
    assert b"\norch_store_degraded 1" in (await running.call("GET", "/metrics")).body
    during = {f"during-{n}" for n in range(20)}
    assert during <= await running.stream_ids("started")

    disk.go_on()
    await eventually(lambda: is_well(running))
    assert len(running.log("store_degraded")) == len(running.log("store_recovered")) == 1
    async with Client(running.base) as client:
        assert await client.event("/events/stream_started", started("after"))
    await running.kill()
    await running.start()
    assert await running.stream_ids("started") == {"before", "after"} | during


async def test_it_can_be_stopped_meanwhile(running: Service, disk: Disk) -> None:
    await running.start()
    disk.hang()
    reads = [running.call("GET", "/log", within=30.0) for _ in range(10)]
    event = running.call("POST", "/events/stream_started", started("during"))
    answers = await asyncio.gather(*reads, event)
    assert [answer.status for answer in answers] == [503] * 11
    began = time.monotonic()
    assert await running.stop() == 0
    assert time.monotonic() - began < _STOP_WITHIN

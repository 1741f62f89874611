"""Whoever collects the log stands still: the API does not."""

import json
import os
from asyncio import to_thread
from collections.abc import Iterator
from typing import Any

import pytest

from ..api import bodies
from .conftest import MakeService
from .service import LIMIT_S, NO_SWEEPS, Service

pytestmark = pytest.mark.timeout(300)

_BATCHES, _BATCH = 16, 1000  # events, each with a line in the log


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


class Reader:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    def until(self, event: str) -> list[dict[str, Any]]:
        """All lines from where it stood to one of this event."""
        lines: list[dict[str, Any]] = []
        while not lines or lines[-1]["event"] != event:
            while b"\n" not in self._rest:
                self._rest += os.read(self._fd, 1 << 16)
            line, _, self._rest = self._rest.partition(b"\n")
            lines.append(json.loads(line))
        return lines


async def test_a_log_that_nobody_reads_stops_nothing(
    service: MakeService, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    running = service({"MIN_REPLICAS": 0, **NO_SWEEPS})
    await running.start(stderr=write)
    for batch in range(_BATCHES):
        await tell(running, f"unread-{batch}")
        assert (await running.call("GET", "/engines")).status == 200
    lost = await lines_lost(running)
    assert 0 < lost < _BATCHES * _BATCH

    reader = Reader(read)
    lines = await to_thread(reader.until, "log_lines_lost")
    assert lines[-1]["count"] == lost
    told = [line["stream"] for line in lines if line["event"] == "stream_started"]
    expected = [name for batch in range(_BATCHES) for name in names(f"unread-{batch}")]
    assert told == expected[: len(told)]
    assert len(told) + lost == _BATCHES * _BATCH
    assert (await running.call("POST", "/events/stream_started", started("read"))).status == 202
    assert (await to_thread(reader.until, "stream_started"))[-1]["stream"] == "read"
    assert await lines_lost(running) == lost

    for batch in range(_BATCHES):
        await tell(running, f"unread-again-{batch}")
    assert await running.stop() == 0


async def test_a_start_does_not_wait_for_whoever_reads_its_greeting(
    service: MakeService, pipe: tuple[int, int]
) -> None:
    _, write = pipe
    os.set_blocking(write, False)
    while True:
        try:
            os.write(write, b"\n" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write, True)
    running = service({"MIN_REPLICAS": 0, **NO_SWEEPS})
    await running.start(stdout=write, stderr=write)
    assert await running.stop() == 0


def names(batch: str) -> list[str]:
    return [f"{batch}-{n}" for n in range(_BATCH)]


def started(stream: str) -> dict[str, Any]:
    return bodies.started(labels={"stream_id": stream})


async def tell(service: Service, batch: str) -> None:
    body = {"started": [started(stream) for stream in names(batch)]}
    answer = await service.call("POST", "/events/batch", body, within=LIMIT_S)
    assert all(result["success"] for result in answer.json["started"])


async def lines_lost(service: Service) -> int:
    said = (await service.call("GET", "/metrics")).body.decode()
    return round(float(said.rpartition("\norch_log_lines_lost_total ")[2].split("\n")[0]))

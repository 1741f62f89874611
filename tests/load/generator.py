"""Requests as fast as they are answered, on connections that are kept."""

import asyncio
import re
import shutil
import subprocess
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from statistics import quantiles
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_RATE = re.compile(r"Requests/sec: +([\d.]+)")
_CONNECTIONS = 10


class Pace(NamedTuple):
    per_second: float
    p50_ms: float
    p99_ms: float


def reads_per_second(port: int, target: str, seconds: int) -> float:
    """By wrk where it is installed: it leaves the server more of the machine."""
    if wrk := shutil.which("wrk"):
        url = f"http://127.0.0.1:{port}{target}"
        command = [wrk, "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", url]
        said = subprocess.check_output(command, text=True)
        found = _RATE.search(said)
        assert found, said
        assert "Non-2xx" not in said, said
        return float(found[1])
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    clients = [_repeat(request) for _ in range(_CONNECTIONS)]
    return asyncio.run(pace(port, clients, seconds)).per_second


def _repeat(request: bytes) -> Iterator[bytes]:
    while True:
        yield request


async def pace(port: int, clients: list[Iterator[bytes]], seconds: float) -> Pace:
    """Each client sends its next request when it has the answer to the one before."""
    deadline = time.perf_counter() + seconds
    began = time.perf_counter()
    took = [
        t
        for each in await asyncio.gather(*(_run(port, c, deadline) for c in clients))
        for t in each
    ]
    elapsed = time.perf_counter() - began
    cuts = quantiles(took, n=100)
    return Pace(len(took) / elapsed, 1000 * cuts[49], 1000 * cuts[98])


async def _run(port: int, requests: Iterator[bytes], deadline: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    now = time.perf_counter()
    while now < deadline:
        await _exchange(reader, writer, next(requests))
        before, now = now, time.perf_counter()
        took.append(now - before)
    writer.close()
    await writer.wait_closed()
    return took


async def _exchange(reader: StreamReader, writer: StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    assert head.startswith(b"HTTP/1.1 20"), head
    assert length, head
    await reader.readexactly(int(length[1]))

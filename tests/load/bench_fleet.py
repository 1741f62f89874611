"""What a large fleet costs one of its hosts, and its server: `make bench-fleet`.

The other hosts only speak (speakers.py); their messages, the server and the service are real.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

from ..contract.service import Service, eventually
from ..ports import free_port
from .measuring import cpu_seconds, listening, memory, row, say
from .speakers import FLEET, name

ENGINES = 50  # of each host
FLEETS = (20, 300)  # hosts
PROCESSES = 3  # that speak
WINDOW_S = 20.0
READS = 1000
LISTENERS = 10  # that hear all, beside the service
SETTINGS = {"MIN_REPLICAS": 0, "LOG_LEVEL": "WARNING"}
SERVER = Path(sys.executable).with_name("nats-server")


class Cost(NamedTuple):
    """Of a process: its share of a processor, and what it holds."""

    share: float
    rss_mb: float


def main(fleets: tuple[int, ...] = FLEETS, window: float = WINDOW_S, reads: int = READS) -> None:
    row("", "observer, %", "MB", "server, %", "MB", "whole view, s")
    with tempfile.TemporaryDirectory(prefix="acekeeper-bench-", dir="/var/tmp") as directory:
        alone = asyncio.run(_alone(Path(directory), window, reads))
        for hosts in fleets:
            asyncio.run(_fleet(Path(directory), hosts, alone, window, reads))


async def _alone(directory: Path, window: float, reads: int) -> float:
    """The processor time of a read without a fleet, in microseconds."""
    async with serving(directory / "alone", {}) as service:
        cost = await _cost(_pid(service), window)
        row("no fleet", f"{100 * cost.share:.1f}", f"{cost.rss_mb:.0f}", "", "", "")
        read = await _read(service, "/orchestrator/status", reads)
        panel = await _panel(service, window)
        row("  /orchestrator/status, us; panel, %", f"{read:.0f}", f"{100 * panel:.1f}")
    return read


async def _fleet(directory: Path, hosts: int, alone: float, window: float, reads: int) -> None:
    with server() as (port, process), speakers(port, hosts):
        of_fleet: dict[str, object] = {
            "FLEET_NAME": FLEET,
            "FLEET_HOST": "observer",
            "FLEET_SERVERS": f"127.0.0.1:{port}",
        }
        async with serving(directory / f"of-{hosts}", of_fleet) as service:
            began = time.perf_counter()

            async def is_whole() -> bool:
                shown = (await service.get("/fleet"))["hosts"]
                live = [host for host in shown if host["standing"] == "live"]
                last = await service.call("GET", f"/fleet/{name(hosts - 1)}")
                return len(live) == hosts + 1 and last.body.count(b'"port"') == ENGINES

            await eventually(is_whole)
            took = time.perf_counter() - began
            ours, its = await asyncio.gather(
                _cost(_pid(service), window), _cost(process.pid, window)
            )
            with listeners(port, LISTENERS):
                crowded = await _cost(process.pid, window)
            row(
                f"{hosts} hosts x {ENGINES} engines",
                f"{100 * ours.share:.1f}",
                f"{ours.rss_mb:.0f}",
                f"{100 * its.share:.1f}",
                f"{its.rss_mb:.0f}",
                f"{took:.1f}",
            )
            each = 100 * (crowded.share - its.share) / LISTENERS
            row("  one more host that hears, server %", "", "", f"{each:.2f}")
            reads_us = [
                await _read(service, path, reads)
                for path in ("/orchestrator/status", "/fleet", f"/fleet/{name(0)}")
            ]
            row("  us: status, /fleet, /fleet/HOST", *(f"{us:.0f}" for us in reads_us))
            panel = await _panel(service, window)
            row(
                "  panel, %; status / without a fleet",
                f"{100 * panel:.1f}",
                f"{reads_us[0] / alone:.2f}",
            )


async def _cost(pid: int, window: float) -> Cost:
    before, began = cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(window)
    share = (cpu_seconds(pid) - before) / (time.perf_counter() - began)
    return Cost(share, memory(pid)["Rss"] / 1024)


async def _read(service: Service, path: str, reads: int) -> float:
    """Microseconds of the service's processor time, above what it spends without a read."""
    pid = _pid(service)
    idle = (await _cost(pid, 2.0)).share
    headers = service.authorization
    async with aiohttp.ClientSession(headers=headers) as http:
        before, began = cpu_seconds(pid), time.perf_counter()
        for _ in range(reads):
            async with http.get(service.base + path) as answer:
                assert answer.status == 200, answer
                await answer.read()
        spent = cpu_seconds(pid) - before - idle * (time.perf_counter() - began)
    return 1e6 * max(0.0, spent) / reads


async def _panel(service: Service, window: float) -> float:
    """The share of a processor while somebody looks at the panel, above that without."""
    pid = _pid(service)
    idle = (await _cost(pid, window / 2)).share
    async with (
        aiohttp.ClientSession(headers=service.authorization) as http,
        http.get(service.base + "/panel/live") as events,
    ):
        assert events.status == 200, events
        reading = asyncio.create_task(_discard(events))
        looked = (await _cost(pid, window / 2)).share
        reading.cancel()
    return max(0.0, looked - idle)


async def _discard(events: aiohttp.ClientResponse) -> None:
    async for _ in events.content.iter_any():
        pass


def _pid(service: Service) -> int:
    assert service.process
    return service.process.pid


@asynccontextmanager
async def serving(state: Path, of_fleet: dict[str, object]) -> AsyncIterator[Service]:
    service = Service(state, {**SETTINGS, **of_fleet}, slots=2, start_delay=0)
    try:
        await service.start()
        yield service
    finally:
        service.end()


@contextmanager
def server() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server of the message system, without certificates, on loopback."""
    port = free_port()
    command = [str(SERVER), "-a", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            listening(port, process)
            yield port, process
        finally:
            process.terminate()


@contextmanager
def speakers(port: int, hosts: int) -> Iterator[None]:
    shares = [range(hosts)[n::PROCESSES] for n in range(PROCESSES)]
    first, processes = 0, []
    try:
        for share in filter(None, shares):
            numbers = (port, first, len(share), ENGINES)
            first += len(share)
            command = [sys.executable, "-m", "tests.load.speakers", *map(str, numbers)]
            processes.append(subprocess.Popen(command))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def listeners(port: int, count: int) -> Iterator[None]:
    """Processes that hear what every host hears, and look at none of it."""
    hear = (
        "import socket, sys\n"
        "server = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "server.sendall(b'CONNECT {\"verbose\":false}\\r\\nSUB acekeeper.v1.*.*.* 1\\r\\n')\n"
        "while heard := server.recv(1 << 20):\n"
        "    heard.startswith(b'PING') and server.sendall(b'PONG\\r\\n')\n"
    )
    command = [sys.executable, "-c", hear, str(port)]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    say(f"{os.cpu_count()} processors")
    main()

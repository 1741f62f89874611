"""What passes, connections and samples cost a real service. Trust the ratios, and the rest only in
this place."""

import asyncio
import os
import subprocess
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from ...contract.service import NO_SWEEPS, Service
from ..measuring import cpu_seconds, memory, play_on_all, row, say
from .choices import DEFAULT, alone

ENGINES = 20
ROUNDS, PASSES, SWEEPS = 5, 40, 10
IDLE_S = 10.0
CONNECTIONS = 300
AN_HOUR = 3600.0
SETTINGS = NO_SWEEPS | {
    "MIN_REPLICAS": ENGINES,
    "MAX_CONCURRENT_PROVISIONS": ENGINES,
    "MIN_PROVISION_INTERVAL_S": 0,
    "LOG_LEVEL": "WARNING",
}
HALF = b"POST /events/stream_started HTTP/1.1\r\nHost: localhost\r\n"


def measure() -> None:
    with tempfile.TemporaryDirectory(prefix="acekeeper-tuning-", dir="/var/tmp") as directory:
        service = Service(Path(directory, "state"), SETTINGS, ENGINES, start_delay=0)
        try:
            asyncio.run(service.start(ENGINES, within=120))
            say(f"\n{ENGINES} engines, each with a stream; {os.cpu_count()} processors")
            asyncio.run(play_on_all(service))
            passes(service)
            connections(service)
            samples(service)
        finally:
            service.end()


def passes(service: Service) -> None:
    """By turns, so that what else the machine does meets them all."""
    assert service.process
    pid = service.process.pid
    rounds: dict[str, list[float]] = {"streams": [], "health": [], "process": []}
    for _ in range(ROUNDS):
        for kind in ("streams", "health"):
            before = cpu_seconds(pid)
            asyncio.run(_sweep(service, kind))
            rounds[kind].append((cpu_seconds(pid) - before) / PASSES)
        rounds["process"].append(_sweep_processes(service) / SWEEPS)
    before = cpu_seconds(pid)
    time.sleep(IDLE_S)
    idle = (cpu_seconds(pid) - before) / IDLE_S
    row("processor time", "least ms", "median ms")
    names = {
        "health": "a pass over the engines, of the service",
        "streams": "a pass over the streams, of the service",
        "process": "the process a timer starts for a pass",
    }
    for kind, name in names.items():
        row(f"  {name}", f"{1e3 * min(rounds[kind]):.1f}", f"{1e3 * median(rounds[kind]):.1f}")
    row("  idle, without passes, for a second", "", f"{1e3 * idle:.1f}")
    health, streams, process = (min(rounds[kind]) for kind in names)
    row("  the process / the pass over the engines", f"{process / health:.1f}")
    row("\nof one core, by the least", "service %", "with timers %")
    for choice in (DEFAULT, *alone("HEALTH_CHECK_INTERVAL_S", "MONITOR_INTERVAL_S")):
        settings = choice.settings()
        each, looks = settings.health_check_interval_s, settings.monitor_interval_s
        mine = health / each + streams / looks
        both = mine + process / each + process / looks
        row(f"  {choice.name}", f"{100 * mine:.2f}", f"{100 * both:.2f}")


async def _sweep(service: Service, kind: str) -> None:
    for _ in range(PASSES):
        assert (await service.call("POST", f"/sweeps/{kind}", within=10)).status == 200


def _sweep_processes(service: Service) -> float:
    """What they spent in all: those of the unit, without its key."""
    before = getrusage(RUSAGE_CHILDREN)
    for _ in range(SWEEPS):
        command = ["curl", "--disable", "--silent", "--fail", "--output", "/dev/null"]
        asked = ["--request", "POST", f"{service.base}/sweeps/health"]
        subprocess.run(command + asked, check=True)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def connections(service: Service) -> None:
    """Of requests that never become whole: API_REQUEST_TIMEOUT_S is how long each is kept."""
    assert service.process
    pid = service.process.pid

    async def half() -> int:
        before = memory(pid)["Pss"]
        writers = []
        for _ in range(CONNECTIONS):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(HALF)
            await writer.drain()
            writers.append(writer)
        await service.get("/health/ready")  # it has seen them
        grown = memory(pid)["Pss"] - before
        for writer in writers:
            writer.close()
        return grown

    row("\nmemory of a request that does not come", f"{asyncio.run(half()) / CONNECTIONS:.1f} kB")


def samples(service: Service) -> None:
    """On disk, by what the database grows."""
    asyncio.run(service.stop())
    database = service.state / "acekeeper.db"
    before = database.stat().st_size
    asyncio.run(service.start(ENGINES))

    async def sample() -> int:
        seen = 0
        for _ in range(PASSES * ROUNDS):
            answer = await service.call("POST", "/sweeps/streams", within=10)
            seen += answer.json["checked"]
        await service.stop()
        return seen

    seen = asyncio.run(sample())
    grown = database.stat().st_size - before
    row("disk for a sample of a stream", f"{grown / seen:.0f} bytes")

"""What it costs: `make bench`. Prints a table; trust its ratios, and the rest only in this place.

One hundred emulated engines run meanwhile. The bare ASGI function gives the same bytes under the
same server, in rounds that take turns with acekeeper's.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, repeat
from pathlib import Path

from ..api import bodies
from ..contract.service import Service, eventually
from ..ports import free_port
from .generator import pace, reads_per_second
from .measuring import cpu_seconds, memory, play_on_all, row, say

ENGINES = 100
ROUNDS, ROUND_S = 5, 1
EVENTS_S = 3
SCRAPES_S = 3
BATCH = 500
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
SETTINGS = {
    "MIN_REPLICAS": ENGINES,
    "MAX_CONCURRENT_PROVISIONS": ENGINES,
    "MIN_PROVISION_INTERVAL_S": 0,
    "LOG_LEVEL": "WARNING",
}


def main() -> None:
    # Not /tmp, which may be in memory: an event is only as durable as the disk.
    with tempfile.TemporaryDirectory(prefix="acekeeper-bench-", dir="/var/tmp") as directory:
        service = Service(Path(directory, "state"), SETTINGS, slots=ENGINES, start_delay=0)
        try:
            asyncio.run(service.start(ENGINES, within=120))
            say(f"{ENGINES} engines, {os.cpu_count()} processors")
            _memory(service, "at rest")
            _reads(service, Path(directory, "bodies.json"))
            _events(service)
            _scrapes(service)
            _memory(service, "after all that")
        finally:
            service.end()


def _reads(service: Service, written: Path) -> None:
    engine = asyncio.run(service.get("/engines"))[0]
    targets = ("/engines", f"/streams?container_id={engine['container_id']}&status=started")
    answers = {target: asyncio.run(service.call("GET", target)).body for target in targets}
    written.write_text(json.dumps({target: body.decode() for target, body in answers.items()}))
    row(f"\nreads, the best of {ROUNDS} rounds", "requests/s", "CPU us each")
    assert service.process
    with _bare(written) as (port, pid):
        for target, body in answers.items():
            ours = Rival("acekeeper", service.port, service.process.pid)
            bare = Rival("bare ASGI", port, pid)
            for _ in range(ROUNDS):
                for rival in (bare, ours):
                    rival.run(target)
            say(f"GET {target.partition('?')[0]}, {len(body)} bytes")
            for rival in (bare, ours):
                row(f"  {rival.name}", f"{max(rival.rates):.0f}", f"{min(rival.costs):.0f}")
            rate, cost = max(ours.rates) / max(bare.rates), min(ours.costs) / min(bare.costs)
            row("  acekeeper / bare", f"{rate:.2f}", f"{cost:.2f}")


class Rival:
    def __init__(self, name: str, port: int, pid: int) -> None:
        self.name = name
        self.rates: list[float] = []
        self.costs: list[float] = []
        self._port = port
        self._pid = pid

    def run(self, target: str) -> None:
        before = cpu_seconds(self._pid)
        rate = reads_per_second(self._port, target, ROUND_S)
        self.rates.append(rate)
        self.costs.append(1e6 * (cpu_seconds(self._pid) - before) / (rate * ROUND_S))


@contextmanager
def _bare(written: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = [sys.executable, "-m", f"{__package__}.bare", str(port), str(written)]
    process = subprocess.Popen(command)

    async def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        asyncio.run(eventually(listens))
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _events(service: Service) -> None:
    """A start and an end by turns, so that as many streams are there afterwards as before."""
    row("\nevents on disk", "events/s", "p50 ms", "p99 ms")
    ports = [engine["port"] for engine in asyncio.run(service.get("/engines"))]
    for clients in (1, 10, 50):
        each = [_singles(f"{clients}-{n}", ports[n % len(ports)]) for n in range(clients)]
        _pace(f"  one a request, {clients} clients", service, each, 1)
    _pace(f"  {BATCH} a request, 1 client", service, [_batches(ports)], BATCH)


def _pace(name: str, service: Service, clients: list[Iterator[bytes]], events: int) -> None:
    found = asyncio.run(pace(service.port, clients, EVENTS_S))
    rate = found.per_second * events
    row(name, f"{rate:.0f}", f"{found.p50_ms:.2f}", f"{found.p99_ms:.2f}")


def _scrapes(service: Service) -> None:
    """While every engine plays, so that none of the series is missing."""
    assert service.process
    asyncio.run(play_on_all(service))
    text = asyncio.run(service.call("GET", "/metrics")).body
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    assert text.count(b"orch_stream_peers{") == ENGINES
    row(f"\nscrapes of {series} series", "CPU ms each", "p50 ms", "p99 ms")
    before = cpu_seconds(service.process.pid)
    found = asyncio.run(pace(service.port, [repeat(SCRAPE)], SCRAPES_S))
    spent = cpu_seconds(service.process.pid) - before
    each = 1000 * spent / (found.per_second * SCRAPES_S)
    row("  GET /metrics", f"{each:.2f}", f"{found.p50_ms:.2f}", f"{found.p99_ms:.2f}")


def _singles(name: str, port: int) -> Iterator[bytes]:
    for number in count():
        stream = f"{name}-{number}"
        yield _post("/events/stream_started", _started(stream, port))
        yield _post("/events/stream_ended", {"stream_id": stream})


def _batches(ports: list[int]) -> Iterator[bytes]:
    for number in count():
        streams = [f"batch-{number}-{n}" for n in range(BATCH // 2)]
        started = [_started(s, ports[n % len(ports)]) for n, s in enumerate(streams)]
        ended = [{"stream_id": stream} for stream in streams]
        yield _post("/events/batch", {"started": started, "ended": ended})


def _started(stream: str, port: int) -> dict[str, object]:
    return bodies.started(port=port, labels={"stream_id": stream})


def _post(path: str, body: object) -> bytes:
    encoded = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


def _memory(service: Service, when: str) -> None:
    assert service.process
    kilobytes = memory(service.process.pid)
    megabytes = (f"{name.upper()} {kilobytes[name] // 1024} MB" for name in ("Rss", "Pss"))
    row(f"memory of acekeeper {when}", *megabytes)


if __name__ == "__main__":
    main()

"""What the service takes as a process: its memory, and the time until it answers."""

import asyncio
import socket
import subprocess
import sys
import time
from statistics import median

from .generator import get
from .measuring import by_turns, memory
from .scale import Bench
from .table import Aim, Group, Row

_MEMORY_MB = Aim(80)
_START_S = Aim(0.6)
_WITHIN_S = 60.0
_LIBRARIES = (
    "import aiohttp, litestar, loguru, msgspec, prometheus_client, sqlite3, uvicorn, uvloop"
)
_READY = get("/health/ready").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

Memory = dict[str, float]


def memory_mb(pid: int) -> Memory:
    found = memory(pid)
    return {name.upper(): found[name] / 1024 for name in ("Rss", "Pss")}


def imports_mb() -> Memory:
    """Of a process that only imports what the service imports."""
    command = [sys.executable, "-c", f"{_LIBRARIES}; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        found = memory_mb(process.pid)
        process.communicate(b"\n")
    return found


def memory_group(at_rest: Memory, loaded: Memory, ended_streams: int) -> Group:
    floor = imports_mb()
    after = f"after the load, {ended_streams:,} ended streams"
    rows = [Row(f"{name} at rest", floor[name], at_rest[name]) for name in floor]
    rows.append(Row(f"RSS {after}", floor["RSS"], loaded["RSS"], _MEMORY_MB))
    rows.append(Row(f"PSS {after}", floor["PSS"], loaded["PSS"]))
    return Group("Memory of the service, MB", "a process that imports the same libraries", rows)


def starts(bench: Bench) -> list[Group]:
    """Stops the service again and again; its engines go on."""

    def imports() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", _LIBRARIES], check=True)
        return time.perf_counter() - began

    def start() -> float:
        assert asyncio.run(bench.service.stop()) == 0
        began = time.perf_counter()
        bench.service.launch()
        while not _answers(bench.port):
            assert time.perf_counter() - began < _WITHIN_S, bench.service.said()
            time.sleep(0.002)
        return time.perf_counter() - began

    floor, ours = by_turns(bench.scale.rounds, imports, start)
    row = Row(f"with {bench.scale.engines} engines to adopt", median(floor), median(ours), _START_S)
    return [
        Group("Start to the first 200, s, median round", "Python importing the libraries", [row])
    ]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(_READY)
            return connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False

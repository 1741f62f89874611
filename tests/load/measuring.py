"""What the benchmarks have in common: what a process spent, engines that play, and a table."""

import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import Popen

import aiohttp

from ..api import bodies
from ..contract.service import Service, eventually

_SCHEDULED = 2  # what a process really had of the processors: CPUCLOCK_SCHED of Linux


def cpu_seconds(pid: int) -> float:
    """Of all its threads, the ended ones included."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def loop_seconds(pid: int) -> float:
    """Of the processor, by the thread of the event loop: the first one of the process."""
    spent = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text("ascii").split()[0]
    return int(spent) / 1e9


def by_turns(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """What each of them found, round by round: what else the machine does meets all alike."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for measure, values in zip(measures, found, strict=True):
            values.append(measure())
    return found


def listening(port: int, process: Popen[bytes]) -> None:
    """Returns when something does."""
    while True:
        with socket.socket() as client:
            if not client.connect_ex(("127.0.0.1", port)):
                return
        assert process.poll() is None, f"ended with {process.returncode}"
        time.sleep(0.01)


def memory(pid: int) -> dict[str, int]:
    """Kilobytes, by what they are called in smaps_rollup."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    rows = (line.split() for line in rollup.splitlines()[1:])
    return {name.rstrip(":"): int(kilobytes) for name, kilobytes, _ in rows}


async def play_on_all(service: Service) -> list[str]:
    """A stream on every engine that is listed, each seen by a pass; their ids."""
    streams = []
    engines = await service.get("/engines")
    for engine in engines:
        key, port = f"{engine['port']:040}", engine["port"]
        engine_url = f"http://127.0.0.1:{port}/ace/getstream?format=json&infohash={key}"
        async with aiohttp.ClientSession() as http, http.get(engine_url) as answer:
            given = (await answer.json())["response"]
        body = bodies.started(port=port, key=key, token=given["stat_url"].rpartition("/")[2])
        body["session"]["stat_url"] = given["stat_url"]
        streams.append(body["labels"]["stream_id"])
        assert (await service.call("POST", "/events/stream_started", body)).status == 202

    async def all_told() -> bool:
        await service.call("POST", "/sweeps/streams", within=10)
        metrics = (await service.call("GET", "/metrics")).body
        return metrics.count(b"orch_stream_peers{") == len(engines)

    await eventually(all_told)  # a sweep leaves streams alone that only just began
    return streams


async def end_all(service: Service, streams: Iterable[str]) -> None:
    for stream in streams:
        answer = await service.call("POST", "/events/stream_ended", {"stream_id": stream})
        assert answer.status == 202


def row(name: str, *values: str) -> None:
    say(f"{name:40}" + "".join(f"{value:>14}" for value in values))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

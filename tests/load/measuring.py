"""What the benchmarks have in common: what a process spent, engines that play, and a table."""

import os
import sys
from pathlib import Path

import aiohttp

from ..api import bodies
from ..contract.service import Service, eventually


def cpu_seconds(pid: int) -> float:
    """Of all its threads, the ended ones included."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> dict[str, int]:
    """Kilobytes, by what they are called in smaps_rollup."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    rows = (line.split() for line in rollup.splitlines()[1:])
    return {name.rstrip(":"): int(kilobytes) for name, kilobytes, _ in rows}


async def play_on_all(service: Service) -> None:
    """A stream on every engine that is listed, each seen by a pass."""
    engines = await service.get("/engines")
    for engine in engines:
        key, port = f"{engine['port']:040}", engine["port"]
        body = bodies.started(port=port, key=key, labels={"stream_id": f"plays on {port}"})
        engine_url = f"http://127.0.0.1:{port}/ace/getstream?format=json&infohash={key}"
        async with aiohttp.ClientSession() as http, http.get(engine_url) as answer:
            given = (await answer.json())["response"]
        body["session"] |= {
            "stat_url": given["stat_url"],
            "playback_session_id": given["stat_url"].rpartition("/")[2],
        }
        assert (await service.call("POST", "/events/stream_started", body)).status == 202

    async def all_told() -> bool:
        await service.call("POST", "/sweeps/streams", within=10)
        metrics = (await service.call("GET", "/metrics")).body
        return metrics.count(b"orch_stream_peers{") == len(engines)

    await eventually(all_told)  # a sweep leaves streams alone that only just began


def row(name: str, *values: str) -> None:
    say(f"{name:40}" + "".join(f"{value:>14}" for value in values))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

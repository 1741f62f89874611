"""What readers wait for while engines hang, a sweep runs and events come."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from statistics import median, quantiles
from typing import Any

from ..contract.service import eventually
from .generator import Kept, get
from .measuring import by_turns
from .scale import Bench
from .table import Aim, Group, Row

_HANG = 5  # one of so many engines
_EVENTS_PER_S = 500
_ROUNDS = 3
_AIM = Aim(2, "ratio")


def measure(bench: Bench) -> list[Group]:
    engines = asyncio.run(bench.service.get("/engines"))
    requests = [
        get("/engines"),
        get(f"/streams?container_id={engines[-1]['container_id']}&status=started"),
        get("/orchestrator/status"),
    ]
    hanging = [engine["port"] for engine in engines[: max(1, len(engines) // _HANG)]]
    seconds, port = bench.scale.trouble_s, engines[-1]["port"]
    came: list[float] = []

    def quiet() -> float:
        return _p99_ms(bench.port, requests, seconds)

    def troubled() -> float:
        asyncio.run(_hang(bench, hanging))
        command = [sys.executable, "-m", f"{__package__}.busy"]
        arguments = map(str, (bench.port, port, _EVENTS_PER_S, seconds))
        with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE) as busy:
            p99 = _p99_ms(bench.port, requests, seconds)
            said, _ = busy.communicate()
        came.append(int(said) / seconds)
        asyncio.run(_recover(bench, hanging, engines))
        return p99

    calm, trouble = by_turns(min(_ROUNDS, bench.scale.rounds), quiet, troubled)
    name = f"{len(hanging)} of {len(engines)} hang, {median(came):.0f} events/s, sweeps, p99 ms"
    row = Row(name, median(calm), median(trouble), _AIM)
    return [Group("Reads in trouble, median round", "the same reads, quiet", [row])]


def _p99_ms(port: int, requests: Sequence[bytes], seconds: float) -> float:
    """Of one who reads all of them again and again."""
    took = []
    with Kept(port) as kept:
        until = time.perf_counter() + seconds
        for request in cycle(requests):
            began = time.perf_counter()
            if began > until:
                break
            kept.ask(request)
            took.append(time.perf_counter() - began)
    return 1000 * quantiles(took, n=100)[98]


async def _hang(bench: Bench, ports: Sequence[int]) -> None:
    await asyncio.gather(*(bench.service.fault(port, "hang") for port in ports))


async def _recover(bench: Bench, ports: Sequence[int], engines: Sequence[Any]) -> None:
    await asyncio.gather(*(bench.service.clear(port) for port in ports))

    async def listed() -> bool:
        return len(await bench.service.get("/engines")) == len(engines)

    await eventually(listed)

"""What readers wait for while engines hang, a sweep runs and events come.

All of it shares the processors with the reader: the service, its disk, the engines that answer,
who tells the events. So a bare function beside the service is read as well, which has none of that
work, and only waits for a processor."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from statistics import median, quantiles
from typing import Any

from ..contract.service import eventually
from .bare import bare
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
    targets = [
        "/engines",
        f"/streams?container_id={engines[-1]['container_id']}&status=started",
        "/orchestrator/status",
    ]
    bodies = {target: asyncio.run(bench.service.call("GET", target)).body for target in targets}
    requests = [get(target) for target in targets]
    hanging = [engine["port"] for engine in engines[: max(1, len(engines) // _HANG)]]
    seconds, told_of = bench.scale.trouble_s, engines[-1]["port"]
    came: list[float] = []

    def quiet(port: int) -> float:
        return _p99_ms(port, requests, seconds)

    def troubled(port: int) -> float:
        asyncio.run(_hang(bench, hanging))
        command = [sys.executable, "-m", f"{__package__}.busy"]
        arguments = map(str, (bench.port, told_of, _EVENTS_PER_S, seconds))
        with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE) as busy:
            assert busy.stdout
            busy.stdout.readline()  # its imports are no trouble of the service's
            p99 = _p99_ms(port, requests, seconds)
            said, _ = busy.communicate()
        came.append(int(said) / seconds)
        asyncio.run(_recover(bench, hanging, engines))
        return p99

    with bare(bench.directory / "bodies.json", bodies) as (beside, _):
        ports = (bench.port, beside)
        calm, calm_beside, trouble, beside_trouble = by_turns(
            min(_ROUNDS, bench.scale.rounds),
            *(partial(quiet, port) for port in ports),
            *(partial(troubled, port) for port in ports),
        )
    name = f"{len(hanging)} of {len(engines)} hang, {median(came):.0f} events/s, sweeps, p99 ms"
    rows = [
        Row(name, median(calm), median(trouble), _AIM),
        Row("a bare function beside it, p99 ms", median(calm_beside), median(beside_trouble)),
    ]
    return [Group("Reads in trouble, median round", "the same reads, quiet", rows)]


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

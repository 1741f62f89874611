"""What a sweep of all engines costs, and a scrape, while all of them play."""

import asyncio
import time
from collections.abc import Callable, Sequence

import aiohttp
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from ..contract.service import Service
from .generator import Kept, get, post
from .measuring import by_turns, cpu_seconds, loop_seconds
from .scale import Bench
from .table import Aim, Group, Row

_SWEEP_MS = Aim(60)
_SCRAPE_MS = Aim(4)
_SCRAPES = 20


def measure(bench: Bench) -> list[Group]:
    """Every engine plays already, and was seen to."""
    status = [
        f"http://127.0.0.1:{engine['port']}/server/api?api_version=3&method=get_status"
        for engine in asyncio.run(bench.service.get("/engines"))
    ]
    streams = asyncio.run(bench.service.get("/streams?status=started"))
    stats = [stream["stat_url"] for stream in streams]
    what = f"{len(status)} engines"
    best = f"best of {bench.scale.rounds} rounds"
    return [
        Group(
            f"A sweep: CPU ms of the event loop's thread above its idle CPU, {best}",
            "as many bare aiohttp GETs",
            [
                _sweep(bench, f"health, {what}", "health", status),
                _sweep(bench, f"streams, {what}", "streams", stats),
            ],
        ),
        Group(
            f"A scrape: CPU ms of the service, {best}",
            "generate_latest of as many gauges",
            [_scrape(bench)],
        ),
    ]


def _sweep(bench: Bench, what: str, kind: str, urls: Sequence[str]) -> Row:
    times = bench.scale.sweeps

    def gets() -> float:
        return asyncio.run(_gets(urls, times))

    with Kept(bench.port) as kept:

        def sweeps() -> float:
            idle = _idle(bench)
            began, before = time.perf_counter(), loop_seconds(bench.pid)
            for _ in range(times):
                kept.ask(post(f"/sweeps/{kind}"))
            spent = loop_seconds(bench.pid) - before
            return 1000 * max(0.0, spent - idle * (time.perf_counter() - began)) / times

        floor, ours = by_turns(bench.scale.rounds, gets, sweeps)
    return Row(what, min(floor), min(ours), _SWEEP_MS)


def _idle(bench: Bench) -> float:
    """Seconds of the loop's CPU a second."""
    before = loop_seconds(bench.pid)
    time.sleep(bench.scale.turn_s)
    return (loop_seconds(bench.pid) - before) / bench.scale.turn_s


async def _gets(urls: Sequence[str], times: int) -> float:
    """The CPU ms for all of them, over connections that are there."""

    async def ask(http: aiohttp.ClientSession, url: str) -> None:
        async with http.get(url) as answer:
            await answer.json()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(ask(http, url) for url in urls))
        before = time.process_time()
        for _ in range(times):
            await asyncio.gather(*(ask(http, url) for url in urls))
        return 1000 * (time.process_time() - before) / times


def _scrape(bench: Bench) -> Row:
    series = asyncio.run(_series(bench.service))
    registry = CollectorRegistry()
    gauge = Gauge("bench", "As many as the service has.", ["name"], registry=registry)
    for n in range(series):
        gauge.labels(f"name-{n}").set(n)

    with Kept(bench.port) as kept:

        def scrape() -> None:
            kept.ask(get("/metrics"))

        floor, ours = by_turns(
            bench.scale.rounds,
            lambda: _each(time.process_time, lambda: generate_latest(registry)),
            lambda: _each(lambda: cpu_seconds(bench.pid), scrape),
        )
    return Row(f"{series} series", min(floor), min(ours), _SCRAPE_MS)


def _each(cpu: Callable[[], float], work: Callable[[], object]) -> float:
    before = cpu()
    for _ in range(_SCRAPES):
        work()
    return 1000 * (cpu() - before) / _SCRAPES


async def _series(service: Service) -> int:
    text = (await service.call("GET", "/metrics")).body
    return sum(not line.startswith(b"#") for line in text.splitlines())

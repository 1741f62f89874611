"""The event loop never stands still: whatever is asked or swept, of a pool as large as it may be,
no turn is long. Counted in lines, so that it is the same on every machine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

from acekeeper.api import (
    containers,
    engines,
    events,
    fleet,
    health,
    log,
    operator,
    panel,
    provision,
    schema,
    status,
    streams,
)
from acekeeper.api.application import ROUTES
from acekeeper.core.facts import EnginesSurveyed, StreamsAsked, TimePassed
from acekeeper.core.fleet.model import Doing, SharedEngine
from acekeeper.core.model import CLAIM_LASTS, Sample
from acekeeper.usecases.sweep import Kind
from acekeeper.usecases.turns import gather_in_turns

from .bodies import started
from .busy import EACH, ENGINES, Busy, busy, container, stream
from .fleets import put, replica
from .turns import AT_MOST, Turns, run

Work = Callable[[Busy], Awaitable[object]]

ONE = f"{EACH:040x}%7C{0:032x}"
BATCH = {
    "started": [started(port=19000 + n % ENGINES, token=f"{n:032x}") for n in range(2500)],
    "ended": [{"stream_id": f"{n:040x}|{n % EACH:032x}"} for n in range(2500)],
}


def longest(tmp_path: Path, work: Work, before: Work | None = None, **numbers: Any) -> int:
    """Lines of the longest turn while `work` is done."""

    async def measured(turns: Turns) -> int:
        async with busy(tmp_path, **numbers) as pool:
            if before is not None:
                await before(pool)
            await turns.count(_done(work(pool)))
        return turns.longest

    return run(measured)


async def _done(work: Awaitable[object]) -> None:
    await work


def ask(method: str, path: str, body: object = None, parts: int | None = None) -> Work:
    return lambda pool: pool.ask(method, path, body, parts)


LOOKS: Mapping[HTTPRouteHandler, Work] = {
    engines.list_engines: ask("GET", "/engines"),
    engines.health_scores: ask("GET", "/engines/health-score"),
    engines.get_engine: ask("GET", f"/engines/{container(3)}"),
    engines.drain_engine: ask("POST", f"/engines/{container(3)}/drain"),
    containers.get_container: ask("GET", f"/containers/{container(3)}"),
    containers.get_logs: ask("GET", f"/containers/{container(3)}/logs?tail=10000"),
    containers.by_label: ask("GET", "/by-label?key=of&value=all"),
    containers.stop_container: ask("DELETE", f"/containers/{container(3)}"),
    streams.list_streams: ask("GET", "/streams"),
    streams.stream_stats: ask("GET", f"/streams/{ONE}/stats"),
    streams.end_stream: ask("DELETE", f"/streams/{ONE}"),
    events.stream_started: ask("POST", "/events/stream_started", started(port=19003)),
    events.stream_ended: ask("POST", "/events/stream_ended", {"stream_id": f"{0:040x}|{0:032x}"}),
    events.batch: ask("POST", "/events/batch", BATCH),
    provision.provision_acestream: ask("POST", "/provision/acestream", {"labels": {}}),
    provision.provision_container: ask("POST", "/provision"),
    operator.sweep: ask("POST", "/sweeps/streams"),
    operator.sweep_all: ask("POST", "/gc"),
    operator.scale: ask("POST", f"/scale/{ENGINES}"),
    operator.reset_breaker: ask("POST", "/health/circuit-breaker/reset"),
    operator.begin_maintenance: ask("POST", "/maintenance"),
    operator.end_maintenance: ask("DELETE", "/maintenance"),
    status.ready: ask("GET", "/health/ready"),
    status.orchestrator_status: ask("GET", "/orchestrator/status"),
    status.metrics: ask("GET", "/metrics"),
    log.list_log: ask("GET", "/log?limit=1000"),
    log.follow_log: ask("GET", "/log/live", parts=1),
    health.health_status: ask("GET", "/health/status"),
    health.vpn_status: ask("GET", "/vpn/status"),
    fleet.list_hosts: ask("GET", "/fleet"),
    fleet.get_host: ask("GET", "/fleet/media-7"),
    schema.schema_page: ask("GET", "/schema"),
    schema.openapi_json: ask("GET", "/schema/openapi.json"),
    panel.page: ask("GET", "/panel"),
    panel.file: ask("GET", "/panel/panel.js"),
    panel.follow: ask("GET", "/panel/live", parts=2),
}


async def large_fleet(pool: Busy) -> None:
    pool.loop.rules = replace(pool.loop.rules, fleet_host="media-0")
    here = pool.loop.clock().mono
    ports = range(19000, 19500)
    many = {f"engine-{p}": SharedEngine(f"engine-{p}", p, Doing.FREE, 0) for p in ports}
    hosts = (replica(f"media-{n}", heard=here) for n in range(1, 300))
    put(pool.state, *(replace(host, engines=many) for host in hosts))


BEFORE: Mapping[HTTPRouteHandler, Work] = {
    operator.end_maintenance: ask("POST", "/maintenance"),
    fleet.list_hosts: large_fleet,
    fleet.get_host: large_fleet,
}
PROVIDING = (provision.provision_acestream, provision.provision_container)


def name_of(route: HTTPRouteHandler) -> str:
    return route.handler_name


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_no_call_of_a_route_takes_a_long_turn(tmp_path: Path, route: HTTPRouteHandler) -> None:
    spare: dict[str, Any] = {"engines": ENGINES - 1} if route in PROVIDING else {}
    assert longest(tmp_path, LOOKS[route], BEFORE.get(route), **spare) < AT_MOST


async def all_silent(pool: Busy) -> None:
    pool.engines.silent.update(range(ENGINES))


async def all_gone(pool: Busy) -> None:
    pool.runtime.running.clear()


async def gone_and_swept(pool: Busy) -> None:
    await all_gone(pool)
    await pool.ask("POST", "/sweeps/scale")


async def strangers(pool: Busy) -> None:
    """Twice the engines there may be, with streams that were announced before they were found."""
    pool.state.listed = False
    pool.runtime.add(*range(2 * ENGINES))
    for n in range(2 * ENGINES):
        for m in range(EACH // 2):
            pool.state.put_stream(stream(n, m, pool.loop.clock(), None))


async def all_held(pool: Busy) -> None:
    """None was used, and none plays what a try of it could take."""
    for n, engine in enumerate(list(pool.state.engines.values())):
        if engine.slot not in pool.state.playing:
            pool.state.put(
                replace(engine, claim=f"r{n}", handed=pool.loop.clock().after(-CLAIM_LASTS))
            )


async def all_ended(pool: Busy) -> None:
    now = pool.loop.clock()
    later = [stream(n, m, now, None) for n in range(ENGINES, 2 * ENGINES) for m in range(EACH)]
    for one in [*pool.state.streams.values(), *later]:
        pool.state.put_stream(replace(one, ended=now, reason="eof"))


async def sampled_for_hours(pool: Busy) -> None:
    one = pool.state.streams[ONE.replace("%7C", "|")]
    assert one.slot is not None
    for n in range(10_000):
        said = Sample(one.started.after(n), "dl", n, n, n, n, n)
        pool.state.put_sample(one, said)
    told = StreamsAsked(one.slot, one.incarnation)
    await pool.loop.tell(told)


async def time_passes(pool: Busy) -> None:
    pool.loop.tell(TimePassed())


async def survey(pool: Busy) -> None:
    pool.loop.tell(EnginesSurveyed(tuple(e.ref for e in pool.state.engines.values())))


async def many(times: int, work: Work, pool: Busy) -> None:
    await asyncio.gather(*(work(pool) for _ in range(times)))


def sweep(kind: Kind) -> Work:
    return ask("POST", f"/sweeps/{kind}")


FEW = {"engines": 20, "each": 500}
FREE = {"each": 0}
OTHERS: Mapping[str, tuple[Work, Work | None, Mapping[str, Any]]] = {
    "health": (sweep(Kind.HEALTH), None, {}),
    "health, all silent": (sweep(Kind.HEALTH), all_silent, {}),
    "streams, all silent": (sweep(Kind.STREAMS), all_silent, {}),
    "streams, of few engines": (sweep(Kind.STREAMS), None, FEW),
    "scale": (sweep(Kind.SCALE), None, {}),
    "scale, all gone": (sweep(Kind.SCALE), all_gone, {}),
    "adoption": (sweep(Kind.SCALE), strangers, {"engines": 0}),
    "what passes": (survey, None, {}),
    "claims lapse": (time_passes, all_held, FREE),
    "much to forget": (time_passes, all_ended, {}),
    "all engines": (ask("GET", "/engines?include=all"), None, {}),
    "ended streams": (ask("GET", "/streams?limit=10000"), all_ended, {}),
    "capacity of the last": (
        ask("GET", f"/streams?status=started&container_id={container(ENGINES - 1)}"),
        None,
        {},
    ),
    "streams of the last": (
        ask("GET", f"/streams?container_id={container(ENGINES - 1)}"),
        None,
        {},
    ),
    "hours of samples": (
        ask("GET", f"/streams/{ONE}/stats?since=2020-01-01T00:00:00Z"),
        sampled_for_hours,
        {},
    ),
    "a long log": (ask("GET", "/log?limit=1000"), gone_and_swept, {}),
    "metrics of what plays": (ask("GET", "/metrics"), sweep(Kind.STREAMS), {}),
    "the panel of what plays": (ask("GET", "/panel/live", parts=2), sweep(Kind.STREAMS), {}),
    "the panel of a fleet": (ask("GET", "/panel/live", parts=2), large_fleet, {}),
    "the status of a fleet": (ask("GET", "/orchestrator/status"), large_fleet, {}),
    "panels": (partial(many, 30, ask("GET", "/panel/live", parts=2)), sweep(Kind.STREAMS), {}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_nothing_of_a_large_pool_takes_a_long_turn(tmp_path: Path, case: str) -> None:
    work, before, numbers = OTHERS[case]
    assert longest(tmp_path, work, before, **numbers) < AT_MOST


def test_who_asks_about_the_last_engine_waits_no_longer_than_about_the_first(
    tmp_path: Path,
) -> None:
    async def measured(turns: Turns) -> list[int]:
        found = []
        async with busy(tmp_path, each=0) as pool:
            for n in (0, ENGINES - 1, 0, ENGINES - 1):
                path = f"/streams?status=started&container_id={container(n)}"
                await turns.count(pool.ask("GET", path))
                found.append(turns.longest)
        return found[2:]  # the first calls prepare something

    first, last = run(measured)
    assert abs(last - first) < ENGINES / 10


def test_three_hundred_requests_that_wait_take_no_long_turn(tmp_path: Path) -> None:
    """They come some at a time, as the server reads them, and are decided together."""
    request = ask("POST", "/provision/acestream", {"labels": {}})

    async def waiting(pool: Busy) -> None:
        pool.state.listed = False
        async with asyncio.TaskGroup() as asking:
            asking.create_task(gather_in_turns((_done(request(pool)) for _ in range(300)), 20))
            while len(pool.state.requests) < 300:
                await asyncio.sleep(0)
            pool.state.listed = True
            pool.loop.tell(TimePassed())

    assert longest(tmp_path, waiting, engines=300, each=0, answer_within=600) < AT_MOST


def test_a_long_turn_is_seen() -> None:
    async def stands_still() -> None:
        for _ in range(AT_MOST):
            pass

    async def measured(turns: Turns) -> int:
        await turns.count(stands_still())
        return turns.longest

    assert run(measured) >= AT_MOST

"""What an operator, or a timer, has done to the whole pool: /scale, /health/circuit-breaker,
/maintenance, /sweeps and /gc."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, post
from litestar.exceptions import ClientException
from litestar.params import FromPath, PathParameter
from litestar.response.base import ASGIResponse

from acekeeper.api import wire, wire_status
from acekeeper.api.context import Context, json_answer
from acekeeper.api.deadline import LONG
from acekeeper.api.described import described
from acekeeper.api.wire import moment_or_none
from acekeeper.core.breaker import circuit
from acekeeper.core.facts import (
    BreakerReset,
    MaintenanceOver,
    MaintenanceRequested,
    ScaleRequested,
)
from acekeeper.usecases.sweep import Kind, Report


@post("/scale/{count:str}", opt=described("key", wire.Scaled))
async def scale(
    request: Request[Any, Any, Any], count: Annotated[int, PathParameter(ge=0)]
) -> ASGIResponse:
    """Keeps at least so many engines in all, until it is called again; 0 ends it.

    They are started one by one, as the limits allow; `running` says how many run now.
    """
    context = Context.of(request)
    if count > context.rules.max_replicas:
        raise ClientException(f"count: at most MAX_REPLICAS ({context.rules.max_replicas})")
    await context.loop.tell(ScaleRequested(count))
    engines, _ = context.views.totals()
    return json_answer(msgspec.json.encode(wire.Scaled(count, engines.running)))


@post("/health/circuit-breaker/reset", opt=described("key", wire.Told))
async def reset_breaker(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Closes the circuit breaker and forgets the failures it counted."""
    context = Context.of(request)
    before = context.state.breaker
    where = circuit(before, context.rules, context.clock())
    await context.loop.tell(BreakerReset())
    message = f"the circuit breaker is closed; it was {where} after {before.failures} failures"
    return json_answer(msgspec.json.encode(wire.Told(message)))


@post("/maintenance", opt=described("key", wire_status.Maintenance))
async def begin_maintenance(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Lets no viewer begin on this host until it is ended; engines stop as their streams end."""
    return await _maintenance(request, MaintenanceRequested())


@delete("/maintenance", status_code=200, opt=described("key", wire_status.Maintenance))
async def end_maintenance(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Engines that have not stopped yet are free again, and the missing ones are started."""
    return await _maintenance(request, MaintenanceOver())


async def _maintenance(
    request: Request[Any, Any, Any], fact: MaintenanceRequested | MaintenanceOver
) -> ASGIResponse:
    context = Context.of(request)
    await context.loop.tell(fact)
    state = context.state
    body = wire_status.Maintenance(
        since=moment_or_none(state.maintenance and state.maintenance.wall),
        engines=len(state.engines),
        streams=sum(map(len, state.playing.values())),
    )
    return json_answer(msgspec.json.encode(body))


@post("/sweeps/{kind:str}", opt=described("key", Report) | {LONG: True})
async def sweep(request: Request[Any, Any, Any], kind: FromPath[Kind]) -> ASGIResponse:
    """One pass, awaited: counts of what it found and did, and its `seconds`."""
    report = await Context.of(request).sweeps.run(kind)
    return json_answer(msgspec.json.encode(report))


@post("/gc", opt=described("key", wire.Swept) | {LONG: True})
async def sweep_all(request: Request[Any, Any, Any]) -> ASGIResponse:
    """One pass of every kind, awaited."""
    reports = await Context.of(request).sweeps.run_all()
    return json_answer(msgspec.json.encode({"status": "ok", **reports}))

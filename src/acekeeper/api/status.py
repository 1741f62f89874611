"""/orchestrator/status, /health/ready and /metrics: how we are."""

from collections import Counter
from typing import Any

import msgspec
from litestar import Request, get
from litestar.response.base import ASGIResponse
from prometheus_client import CONTENT_TYPE_LATEST

from acekeeper import __version__
from acekeeper.api import fleet, vpns, wire_status
from acekeeper.api.context import Context, Prepared, prepared
from acekeeper.api.described import described
from acekeeper.api.provision import refusal_detail
from acekeeper.api.wire import moment, moment_or_none
from acekeeper.core.breaker import Circuit, circuit
from acekeeper.core.maintenance import MAINTENANCE
from acekeeper.core.model import Now
from acekeeper.core.rollout import outdated, why
from acekeeper.usecases.turns import one_by_one

_encode = msgspec.json.Encoder().encode


def ready_now(context: Context, *_: object) -> Prepared:
    state, now = context.state, context.clock()
    where = circuit(state.breaker, context.rules, now)
    body = wire_status.Ready(
        ready=where is not Circuit.OPEN and state.connected and state.listed,
        engines=len(state.engines),
        active_streams=len(state.streams) - len(state.ended),
        circuit_state=where.value,
        timestamp=moment(now.wall),
        degraded=context.degraded(),
        version=__version__,
        maintenance=moment_or_none(state.maintenance and state.maintenance.wall),
    )
    return prepared(_encode(body))


@get("/health/ready", opt=described("open", wire_status.Ready, at_once=ready_now))
async def ready(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Whether engines can be had; 200 whenever the service runs."""
    return await ready_now(Context.of(request)).response()


def status_now(context: Context, *_: object) -> Prepared:
    return prepared(_encode(totals(context, context.clock())))


@get(
    "/orchestrator/status",
    opt=described("open", wire_status.OrchestratorStatus, at_once=status_now),
)
async def orchestrator_status(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Totals, and whether a provision would be tried."""
    return await status_now(Context.of(request)).response()


def totals(context: Context, now: Now) -> wire_status.OrchestratorStatus:
    state, rules = context.state, context.rules
    engines, capacity = context.views.totals()
    reason = context.views.blocked(now)
    where = circuit(state.breaker, rules, now)
    failed = state.breaker.last_failure
    return wire_status.OrchestratorStatus(
        status=overall(context, now),
        engines=engines,
        streams=wire_status.StreamTotals(
            active=len(state.streams) - len(state.ended), total=len(state.streams)
        ),
        capacity=capacity,
        vpn=vpns.totals(state, rules),
        provisioning=wire_status.Provisioning(
            can_provision=reason is None,
            circuit_breaker_state=where.value,
            last_failure=moment_or_none(failed and failed.wall),
            blocked_reason=reason.code.value if reason else None,
            blocked_reason_details=refusal_detail(reason) if reason else None,
        ),
        config=wire_status.Config(
            auto_delete=rules.auto_delete,
            grace_period_s=int(rules.engine_grace_period),
            target_image=context.target_image or "",
        ),
        timestamp=moment(now.wall),
        gateway=gateway(context),
        rollout=rollout(context),
        maintenance=moment_or_none(state.maintenance and state.maintenance.wall),
        fleet=fleet.totals(context),
    )


def rollout(context: Context) -> wire_status.Rollout | None:
    state = context.state
    reasons = Counter(why(e, state, context.rules) for e in outdated(state, context.rules))
    if not reasons:
        return None
    stopped = state.rollout.stopped if state.rollout else ""
    if state.maintenance is not None:
        stopped = MAINTENANCE
    return wire_status.Rollout(reasons.total(), dict(reasons), stopped or None)


def gateway(context: Context) -> wire_status.Gateway | None:
    if context.gateway is None:
        return None
    return wire_status.Gateway(
        listening=list(context.gateway),
        playing=len(context.state.readers),
        waiting=len(context.state.plays),
    )


def overall(context: Context, now: Now) -> wire_status.Status:
    state, (engines, _) = context.state, context.views.totals()
    if not state.listed or not engines.healthy:
        return "unavailable"
    closed = circuit(state.breaker, context.rules, now) is Circuit.CLOSED
    return "healthy" if closed and not engines.unhealthy and not context.degraded() else "degraded"


@get("/metrics", opt=described("read", str, media="text/plain"))
async def metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
    """For Prometheus."""
    families = Context.of(request).metrics.exposition()
    body = b"".join(await one_by_one(families, bytes, at_once=1))
    return ASGIResponse(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

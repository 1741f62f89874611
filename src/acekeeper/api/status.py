"""/orchestrator/status, /health/ready and /metrics: how we are."""

from typing import Any

import msgspec
from litestar import Request, get
from litestar.response.base import ASGIResponse
from prometheus_client import CONTENT_TYPE_LATEST

from acekeeper import __version__
from acekeeper.api import wire_status as shapes
from acekeeper.api.context import Context, json_answer
from acekeeper.api.described import described
from acekeeper.api.provision import refusal_detail
from acekeeper.api.wire import moment, moment_or_none
from acekeeper.core.admission import blocked
from acekeeper.core.breaker import Circuit, circuit
from acekeeper.core.model import Health, Now, Phase
from acekeeper.usecases.turns import one_by_one


@get("/health/ready", opt=described("open", shapes.Ready))
async def ready(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Whether engines can be had; 200 whenever the service runs."""
    context = Context.of(request)
    state, now = context.state, context.clock()
    where = circuit(state.breaker, context.rules, now)
    body = shapes.Ready(
        ready=where is not Circuit.OPEN and state.connected and state.listed,
        engines=len(state.engines),
        active_streams=len(state.streams) - len(state.ended),
        circuit_state=where.value,
        timestamp=moment(now.wall),
        degraded=context.degraded(),
        version=__version__,
    )
    return json_answer(msgspec.json.encode(body))


@get("/orchestrator/status", opt=described("open", shapes.OrchestratorStatus))
async def orchestrator_status(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Totals, and whether a provision would be tried."""
    context = Context.of(request)
    return json_answer(msgspec.json.encode(totals(context, context.clock())))


def totals(context: Context, now: Now) -> shapes.OrchestratorStatus:
    state, rules = context.state, context.rules
    engines = list(state.engines.values())
    reason = blocked(state, rules, now)
    where = circuit(state.breaker, rules, now)
    failed = state.breaker.last_failure
    return shapes.OrchestratorStatus(
        status=overall(context, now),
        engines=shapes.EngineTotals(
            total=len(engines),
            running=sum(e.phase is Phase.RUNNING for e in engines),
            healthy=sum(e.listed for e in engines),
            unhealthy=sum(e.health is Health.UNHEALTHY for e in engines),
        ),
        streams=shapes.StreamTotals(
            active=len(state.streams) - len(state.ended), total=len(state.streams)
        ),
        capacity=shapes.Capacity(
            total=len(engines),
            used=sum(e.claim is not None or not state.is_vacant(e) for e in engines),
            available=sum(state.is_free(e, rules) for e in engines),
            max_replicas=rules.max_replicas,
            min_replicas=rules.min_replicas,
            at_least=state.at_least,
        ),
        vpn=shapes.Vpn(),
        provisioning=shapes.Provisioning(
            can_provision=reason is None,
            circuit_breaker_state=where.value,
            last_failure=moment_or_none(failed and failed.wall),
            blocked_reason=reason.code.value if reason else None,
            blocked_reason_details=refusal_detail(reason) if reason else None,
        ),
        config=shapes.Config(
            auto_delete=rules.auto_delete,
            grace_period_s=int(rules.engine_grace_period),
            target_image=context.target_image or "",
        ),
        timestamp=moment(now.wall),
        gateway=gateway(context),
    )


def gateway(context: Context) -> shapes.Gateway | None:
    if context.gateway is None:
        return None
    return shapes.Gateway(
        listening=list(context.gateway),
        playing=len(context.state.readers),
        waiting=len(context.state.plays),
    )


def overall(context: Context, now: Now) -> shapes.Status:
    state = context.state
    engines = state.engines.values()
    if not state.listed or not any(e.listed for e in engines):
        return "unavailable"
    ill = any(e.health is Health.UNHEALTHY for e in engines)
    closed = circuit(state.breaker, context.rules, now) is Circuit.CLOSED
    return "healthy" if closed and not ill and not context.degraded() else "degraded"


@get("/metrics", opt=described("read", str, media="text/plain"))
async def metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
    """For Prometheus."""
    families = Context.of(request).metrics.exposition()
    body = b"".join(await one_by_one(families, bytes, at_once=1))
    return ASGIResponse(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

"""/health/status and /vpn/status: what an operator judges the pool by."""

from typing import Any

import msgspec
from litestar import Request, get
from litestar.response.base import ASGIResponse

from acekeeper.api import vpns, wire_status
from acekeeper.api.context import Context, json_answer
from acekeeper.api.described import described
from acekeeper.api.status import overall
from acekeeper.api.views import phase
from acekeeper.api.wire import moment, moment_or_none
from acekeeper.core.breaker import circuit, seconds_left
from acekeeper.core.model import Breaker, Health, Now
from acekeeper.core.rules import Rules


@get("/health/status", opt=described("read", wire_status.HealthReport))
async def health_status(request: Request[Any, Any, Any]) -> ASGIResponse:
    """The engines by health and by phase, what decides over them, and the circuit breaker."""
    context = Context.of(request)
    state, rules, now = context.state, context.rules, context.clock()
    engines = list(state.engines.values())
    phases = [phase(engine) for engine in engines]
    body = wire_status.HealthReport(
        status=overall(context, now),
        engines=wire_status.HealthTotals(
            total=len(engines),
            healthy=sum(e.health is Health.HEALTHY for e in engines),
            unhealthy=sum(e.health is Health.UNHEALTHY for e in engines),
            unknown=sum(e.health is Health.UNKNOWN for e in engines),
            starting=phases.count("starting"),
            running=phases.count("running"),
            draining=phases.count("draining"),
            stopping=phases.count("stopping"),
        ),
        thresholds=wire_status.HealthThresholds(
            health_failure_threshold=rules.health_failure_threshold,
            health_unhealthy_grace_period_s=rules.unhealthy_grace_period,
            health_replacement_cooldown_s=rules.replacement_cooldown,
            provision_startup_grace_s=rules.startup_grace,
        ),
        circuit_breakers=wire_status.CircuitBreakers(breaker_state(state.breaker, rules, now)),
        timestamp=moment(now.wall),
    )
    return json_answer(msgspec.json.encode(body))


def breaker_state(breaker: Breaker, rules: Rules, now: Now) -> wire_status.BreakerState:
    return wire_status.BreakerState(
        state=circuit(breaker, rules, now).value,
        failures=breaker.failures,
        failure_threshold=rules.breaker_threshold,
        recovery_timeout_s=rules.breaker_timeout,
        seconds_left=seconds_left(breaker, rules, now),
        opened_at=moment_or_none(breaker.opened and breaker.opened.wall),
        last_failure=moment_or_none(breaker.last_failure and breaker.last_failure.wall),
    )


@get("/vpn/status", opt=described("read", wire_status.VpnReport))
async def vpn_status(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Each VPN, and the engines behind it."""
    context = Context.of(request)
    return json_answer(msgspec.json.encode(vpns.report(context.state, context.rules)))

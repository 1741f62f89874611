"""/health/circuit-breaker: an operator who has removed the cause need not wait."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.response.base import ASGIResponse

from acekeeper.api import wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.described import described
from acekeeper.core.breaker import circuit
from acekeeper.core.facts import BreakerReset


@post("/health/circuit-breaker/reset", opt=described("key", wire.Told))
async def reset_breaker(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Closes the circuit breaker and forgets the failures it counted."""
    context = Context.of(request)
    before = context.state.breaker
    where = circuit(before, context.rules, context.clock())
    await context.loop.tell(BreakerReset())
    message = f"the circuit breaker is closed; it was {where} after {before.failures} failures"
    return json_answer(msgspec.json.encode(wire.Told(message)))

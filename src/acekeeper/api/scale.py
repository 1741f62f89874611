"""/scale: how many engines an operator wants kept in all."""

from typing import Annotated, Any

import msgspec
from litestar import Request, post
from litestar.exceptions import ClientException
from litestar.params import PathParameter
from litestar.response.base import ASGIResponse

from acekeeper.api import wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.described import described
from acekeeper.core.facts import ScaleRequested
from acekeeper.core.model import Phase


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
    running = sum(e.phase is Phase.RUNNING for e in context.state.engines.values())
    return json_answer(msgspec.json.encode(wire.Scaled(count, running)))

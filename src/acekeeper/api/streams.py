"""/streams: what plays, and the client's capacity question."""

from typing import Annotated, Any, Literal

from litestar import Request, get
from litestar.params import FromQuery, QueryParameter
from litestar.response.base import ASGIResponse

from acekeeper.api import wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.described import described


@get("/streams", opt=described("read", list[wire.Stream]))
async def list_streams(
    request: Request[Any, Any, Any],
    status: FromQuery[Literal["started", "ended"] | None] = None,
    container_id: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=0, le=10_000)] = 1000,
) -> ASGIResponse:
    """Started streams and the newest ended ones; `limit` is of the ended ones.

    Asked for the started ones of one engine, it shows a claim of that engine as a stream.
    """
    context = Context.of(request)
    return json_answer(context.views.streams(status, container_id, limit, context.clock()))

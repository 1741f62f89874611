"""/streams: what plays, and the client's capacity question."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, delete, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response.base import ASGIResponse

from acekeeper.api import views, wire
from acekeeper.api.context import (
    Asked,
    Context,
    Prepared,
    json_answer,
    no_such_stream,
    prepared,
    stream_name,
)
from acekeeper.api.described import described
from acekeeper.usecases.operator import stop_stream
from acekeeper.usecases.samples import samples


def capacity(context: Context, asked: Asked) -> Prepared | None:
    """What a client asks of each engine before it chooses."""
    query = asked.query
    container_id = query.get("container_id")
    if not container_id or query.get("status") != "started" or len(query) > 2:
        return None
    return prepared(context.views.started_on(container_id, context.clock()))


@get("/streams", opt=described("read", list[wire.Stream], at_once=capacity))
async def list_streams(
    request: Request[Any, Any, Any],
    status: FromQuery[Literal["started", "ended", "all"]] = "all",
    container_id: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=0, le=10_000)] = 1000,
) -> ASGIResponse:
    """Started streams and the newest ended ones; `limit` is of the ended ones.

    Asked for the started ones of one engine, it shows a claim of that engine as a stream, and a
    session that the gateway opens or stops there.
    """
    context = Context.of(request)
    return json_answer(await context.views.streams(status, container_id, limit, context.clock()))


@get("/streams/{stream_id:str}/stats", opt=described("read", list[wire.StreamSample]))
async def stream_stats(
    request: Request[Any, Any, Any],
    stream_id: FromPath[str],
    since: FromQuery[datetime | None] = None,
) -> ASGIResponse:
    """What the engine said of a stream over time, the oldest first.

    `since` a time, the newest 10,000 at the most; without it the newest `STATS_HISTORY_MAX`.
    """
    context = Context.of(request)
    name = stream_name(stream_id)
    found = await samples(
        context.state,
        context.rules,
        context.loop.unsaved,
        context.history,
        name,
        wire.wall_or_none(since),
    )
    if found is None:
        raise no_such_stream(name)
    return json_answer(await views.array(found, views.sample))


@delete("/streams/{stream_id:str}", opt=described("key", wire.StreamOver), status_code=200)
async def end_stream(request: Request[Any, Any, Any], stream_id: FromPath[str]) -> ASGIResponse:
    """Asks the engine of a stream to stop it, and ends it whatever the engine says.

    The engine is asked only if it is one of ours.
    """
    context = Context.of(request)
    stream = context.stream(stream_id)
    heard = await stop_stream(context.loop, stream)
    return json_answer(msgspec.json.encode(wire.StreamOver(stream.id, heard)))

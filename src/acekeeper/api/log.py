"""/log: what happened, looked up or followed."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.exceptions import ClientException
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response.base import ASGIResponse

from acekeeper.api import wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.deadline import ENDLESS
from acekeeper.api.described import described
from acekeeper.api.followers import entry


@get("/log", opt=described("read", list[wire.LogEntry]))
async def list_log(
    request: Request[Any, Any, Any],
    kind: FromQuery[str | None] = None,
    since: FromQuery[datetime | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> ASGIResponse:
    """What happened, the newest first."""
    history = Context.of(request).history
    found = await history.log(kind, wire.wall_or_none(since), limit)
    return json_answer(msgspec.json.encode([entry(logged) for logged in found]))


@get("/log/live", opt=described("read", str, media="text/event-stream") | {ENDLESS: True})
async def follow_log(
    request: Request[Any, Any, Any],
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> ASGIResponse:
    """The same as server-sent events, from now on, or from after `Last-Event-ID`.

    An event's `data` is an entry of the log, its `id` that entry's, and it is sent when it is on
    disk: who comes back with the last id it saw misses nothing and sees nothing twice.
    """
    context = Context.of(request)
    newest = await context.history.newest_id()
    if last_event_id is None:
        return context.followers.follow(newest)
    if not last_event_id.isdecimal() or len(last_event_id) > 18:
        raise ClientException("Last-Event-ID: not one of ours, which are whole numbers")
    return context.followers.follow(min(int(last_event_id), newest))

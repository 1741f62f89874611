"""/log: what happened, looked up or followed."""

import asyncio
from asyncio import Event
from collections.abc import AsyncGenerator
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.exceptions import ClientException
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response.base import ASGIResponse

from acekeeper.api import followers, wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.deadline import ENDLESS
from acekeeper.api.described import described
from acekeeper.api.views import array
from acekeeper.core.happenings import mood
from acekeeper.core.inspection import Logged
from acekeeper.core.names import Slot
from acekeeper.usecases.protocols import History

_AT_ONCE = 200
_PAUSE = 0.1  # a burst of commits is read in few steps


@get("/log", opt=described("read", list[wire.LogEntry]))
async def list_log(
    request: Request[Any, Any, Any],
    kind: FromQuery[str | None] = None,
    engine: FromQuery[str | None] = None,
    since: FromQuery[datetime | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> ASGIResponse:
    """What happened, the newest first; of one `engine` by the name of its container."""
    history = Context.of(request).history
    slot = Slot.from_container_name(engine) if engine else None
    if engine and slot is None:
        raise ClientException("engine: not the name of a container, as engine-19000 is")
    found = await history.log(kind, wire.wall_or_none(since), limit, slot and slot.port)
    return json_answer(await array(found, _entry))


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
        return context.followers.follow(partial(_feed, context.history, newest))
    if not last_event_id.isdecimal() or len(last_event_id) > 18:
        raise ClientException("Last-Event-ID: not one of ours, which are whole numbers")
    last = min(int(last_event_id), newest)
    return context.followers.follow(partial(_feed, context.history, last))


async def _feed(history: History, last: int, woken: Event) -> AsyncGenerator[bytes, None]:
    # An event without data, which says where a client stands that hears of none.
    yield b"%bid: %d\n\n" % (followers.RETRY, last)
    while True:
        woken.clear()
        found = await history.log_after(last, _AT_ONCE)
        if found:
            yield b"".join(map(_event, found))
            last = found[-1].id
            await asyncio.sleep(0 if len(found) == _AT_ONCE else _PAUSE)
            continue
        try:
            async with asyncio.timeout(followers.KEEP_ALIVE):
                await woken.wait()
        except TimeoutError:
            yield followers.ALIVE


def _event(logged: Logged) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (logged.id, msgspec.json.encode(_entry(logged)))


def _entry(logged: Logged) -> wire.LogEntry:
    return wire.LogEntry(
        id=logged.id,
        ts=wire.moment(logged.wall),
        kind=logged.kind,
        mood=mood(logged.kind),
        engine=logged.engine.container_name if logged.engine else None,
        stream=logged.stream or None,
        data={name: value for name, value in logged.data.items() if value is not None},
    )

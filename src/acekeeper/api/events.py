"""/events: what the client tells of its streams."""

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from litestar import Request, post
from litestar.exceptions import HTTPException
from litestar.response.base import ASGIResponse

from acekeeper.api import bodies, wire
from acekeeper.api.context import BEGUN, Asked, Context, Prepared, json_answer, prepared
from acekeeper.api.described import described
from acekeeper.core import facts
from acekeeper.errors import StoreFailed
from acekeeper.usecases import events
from acekeeper.usecases.turns import one_by_one

F = TypeVar("F")
W = TypeVar("W")

_AT_ONCE = 500  # events of a batch whose answers are made in one turn of the event loop
_BEGINNING = re.compile(r"(https?://[\w.:-]+)[/?#]", re.ASCII)

_started = msgspec.json.Decoder(wire.StreamStarted)
_ended = msgspec.json.Decoder(wire.StreamEnded)
_batch = msgspec.json.Decoder(wire.EventBatch)


def _start(context: Context, asked: Asked) -> Prepared:
    return _told(context, _started_fact(bodies.decode(asked.body, _started)))


def _end(context: Context, asked: Asked) -> Prepared:
    return _told(context, _ended_fact(bodies.decode(asked.body, _ended)))


def _told(context: Context, fact: facts.StreamStarted | facts.StreamEnded) -> Prepared:
    durable, stream_id = events.tell(context.loop, fact)
    return prepared(msgspec.json.encode(wire.Accepted(stream_id)), status=202, durable=durable)


async def _done(
    request: Request[Any, Any, Any], begin: Callable[[Context, Asked], Prepared], event: str
) -> ASGIResponse:
    """An event that is not kept is told so, and counts."""
    context = Context.of(request)
    begun: Prepared | None = request.scope["state"].get(BEGUN)
    if begun is None:
        begun = begin(context, Asked(body=await bodies.json(request)))
    try:
        return await begun.response()
    except StoreFailed:
        context.metrics.event_failed(event)
        raise


@post(
    "/events/stream_started",
    opt=described("key", wire.Accepted, status=202, body=wire.StreamStarted, at_once=_start),
)
async def stream_started(request: Request[Any, Any, Any]) -> ASGIResponse:
    """A stream started. It is on disk when this is answered."""
    return await _done(request, _start, "stream_started")


@post(
    "/events/stream_ended",
    opt=described("key", wire.Accepted, status=202, body=wire.StreamEnded, at_once=_end),
)
async def stream_ended(request: Request[Any, Any, Any]) -> ASGIResponse:
    """A stream ended. It is on disk when this is answered.

    Without a `stream_id` it ends the only stream of its engine, or none. An end that comes before
    its start is remembered for an hour, the newest 10,000 of them.
    """
    return await _done(request, _end, "stream_ended")


@post("/events/batch", opt=described("key", wire.BatchResult, body=wire.EventBatch))
async def batch(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Many events: one result each, in order. One that is not well formed fails alone."""
    context = Context.of(request)
    body = await bodies.read(request, _batch)
    most = context.limits.max_batch_events
    if len(body.started) + len(body.ended) > most:
        raise HTTPException(status_code=413, detail=f"at most {most} events in one batch")
    told = chain[events.Event | str](
        (_decoded(_started, _started_fact, raw) for raw in body.started),
        (_decoded(_ended, _ended_fact, raw) for raw in body.ended),
    )
    results = await events.batch(context.loop, told)
    starts, ends = results[: len(body.started)], results[len(body.started) :]
    context.metrics.event_failed("stream_started", sum(not r.kept for r in starts))
    context.metrics.event_failed("stream_ended", sum(not r.kept for r in ends))
    answers = [await one_by_one(each, _result, _AT_ONCE) for each in (starts, ends)]
    return json_answer(msgspec.json.encode(wire.BatchResult(*answers)))


def _decoded(decoder: msgspec.json.Decoder[W], told: Callable[[W], F], raw: msgspec.Raw) -> F | str:
    """The fact, or why it is none."""
    try:
        return told(bodies.decode(raw, decoder))
    except msgspec.DecodeError as error:
        return str(error)


def _result(result: events.Result) -> wire.Result:
    stream_id, error, _ = result
    return wire.Result.failed(error) if error else wire.Result(True, stream_id)


def _started_fact(event: wire.StreamStarted) -> facts.StreamStarted:
    told = (_host(event.engine.host), event.engine.port)
    by_url = _address(event.session.stat_url)
    given = (event.labels or {}).get("stream_id")
    return facts.StreamStarted(
        id=given or f"{event.stream.key}|{event.session.playback_session_id}",
        key_type=event.stream.key_type,
        key=event.stream.key,
        session=event.session.playback_session_id,
        stat_url=event.session.stat_url,
        command_url=event.session.command_url,
        is_live=bool(event.session.is_live),
        addresses=(by_url, told) if by_url else (told,),
        container_id=event.container_id or "",
    )


def _ended_fact(event: wire.StreamEnded) -> facts.StreamEnded:
    return facts.StreamEnded(event.stream_id or "", event.container_id or "", event.reason or "")


def _address(url: str) -> tuple[str, int] | None:
    """The engine builds this URL from the Host header it was asked with."""
    try:
        beginning = _BEGINNING.match(url)
        return _place(beginning[1] if beginning else url)
    except ValueError as error:
        raise msgspec.ValidationError(f"{error} - at `$.session.stat_url`") from error


@lru_cache(1024)
def _place(url: str) -> tuple[str, int] | None:
    parts = urlsplit(url)
    return (_host(parts.hostname), parts.port or 80) if parts.hostname else None


def _host(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()

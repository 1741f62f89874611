"""/containers: our engines in detail, as whoever runs them tells, and the end of one."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response.base import ASGIResponse

from acekeeper.api import wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.deadline import LONG
from acekeeper.api.described import described
from acekeeper.api.views import phase
from acekeeper.core.facts import StopRequested
from acekeeper.core.model import Engine
from acekeeper.usecases.turns import gather_in_turns


@get("/containers/{container_id:str}", opt=described("read", wire.Container))
async def get_container(
    request: Request[Any, Any, Any], container_id: FromPath[str]
) -> ASGIResponse:
    """One of our engines in detail, as far as whoever runs it can be asked."""
    context = Context.of(request)
    details = await _details(context, context.engine(container_id))
    return json_answer(msgspec.json.encode(details))


@get(
    "/containers/{container_id:str}/logs",
    opt=described("key", str, media="text/plain") | {LONG: True},
)
async def get_logs(
    request: Request[Any, Any, Any],
    container_id: FromPath[str],
    tail: Annotated[int, QueryParameter(ge=1, le=10_000)] = 100,
) -> ASGIResponse:
    """The last lines of what an engine printed, a mebibyte at the most."""
    context = Context.of(request)
    engine = context.engine(container_id)
    text = await context.loop.runtime.logs(engine.slot, engine.container_id, tail)
    if text is None:
        raise NotFoundException(f"there is no log of {engine.slot.container_name}")
    headers = {"X-Content-Type-Options": "nosniff"}  # an engine prints what strangers sent it
    return ASGIResponse(body=text.encode(), media_type="text/plain", headers=headers)


@delete(
    "/containers/{container_id:str}",
    opt=described("key", wire.Leaving, status=202),
    status_code=202,
)
async def stop_container(
    request: Request[Any, Any, Any], container_id: FromPath[str]
) -> ASGIResponse:
    """Stops an engine now, whatever plays on it."""
    context = Context.of(request)
    engine = context.engine(container_id)
    await context.loop.tell(StopRequested(*engine.ref))
    return json_answer(msgspec.json.encode(wire.Leaving(container_id, "stopping")), status=202)


@get("/by-label", opt=described("key", list[wire.Container]))
async def by_label(
    request: Request[Any, Any, Any], key: FromQuery[str], value: FromQuery[str]
) -> ASGIResponse:
    """The engines whose label `key` is `value`, in detail."""
    context = Context.of(request)
    engines = [e for e in context.state.engines.values() if e.labels.get(key) == value]
    found = await gather_in_turns(_details(context, engine) for engine in engines)
    return json_answer(msgspec.json.encode(found))


async def _details(context: Context, engine: Engine) -> wire.Container:
    more = await context.loop.runtime.inspect(engine.slot, engine.container_id)
    return wire.Container(
        container_id=engine.container_id,
        container_name=engine.slot.container_name,
        host=engine.slot.host,
        ports=wire.Ports(*context.rules.ports.ports(engine.slot.port)),
        labels=dict(engine.labels),
        phase=phase(engine),
        health_status=engine.health.value,
        start=engine.incarnation,
        asked_at=wire.moment(engine.created.wall),
        started_at=wire.moment_or_none(engine.started and engine.started.wall),
        ready_at=wire.moment_or_none(engine.ready and engine.ready.wall),
        streams=list(context.state.playing.get(engine.slot, ())),
        unit=more.unit,
        status=more.status,
        pid=more.pid,
        exit_code=more.exit_code,
        oom_killed=more.oom_killed,
        image=more.image or engine.build.image or None,
        image_id=more.image_id,
        image_digest=more.image_digest,
        created_at=wire.moment_or_none(more.created),
        unread=more.unread,
    )

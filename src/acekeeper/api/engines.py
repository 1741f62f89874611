"""/engines: what a client chooses from."""

from typing import Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, FromQuery
from litestar.response.base import ASGIResponse

from acekeeper.api import wire
from acekeeper.api.context import Asked, Context, Prepared, json_answer, prepared
from acekeeper.api.described import described
from acekeeper.core.facts import DrainRequested
from acekeeper.core.model import Phase


def usable(context: Context, asked: Asked) -> Prepared | None:
    """A caller that has this list already gets 304."""
    if asked.query.get("include", "usable") != "usable":
        return None
    body, etag = context.views.engines()
    headers = (b"etag", etag), (b"cache-control", b"max-age=5")
    condition = next((value for name, value in asked.headers if name == b"if-none-match"), None)
    return Prepared(304, [*headers], b"") if _matches(condition, etag) else prepared(body, *headers)


def _matches(condition: bytes | None, etag: bytes) -> bool:
    """Weak comparison (RFC 9110 13.1.2): `*`, or any of a list."""
    if condition is None:
        return False
    if condition.strip() == b"*":
        return True
    return any(given.strip().removeprefix(b"W/") == etag for given in condition.split(b","))


@get(
    "/engines",
    opt=described(
        "read",
        list[wire.Engine],
        headers={"ETag": "Of this list", "Cache-Control": "How long it may be kept"},
        also={304: None},
        at_once=usable,
    ),
)
async def list_engines(
    request: Request[Any, Any, Any], include: FromQuery[Literal["usable", "all"]] = "usable"
) -> ASGIResponse:
    """The engines a client may use; all of them with `include=all`."""
    context = Context.of(request)
    answer = usable(context, Asked({"include": include}, request.scope["headers"]))
    return await answer.response() if answer else json_answer(context.views.all_engines())


@get("/engines/health-score", opt=described("read", list[wire.EngineScore]))
async def health_scores(request: Request[Any, Any, Any]) -> ASGIResponse:
    """The engines by score, best first."""
    context = Context.of(request)
    return json_answer(msgspec.json.encode(context.views.scores(context.clock())))


@get("/engines/{container_id:str}", opt=described("read", wire.EngineWithStreams))
async def get_engine(request: Request[Any, Any, Any], container_id: FromPath[str]) -> ASGIResponse:
    """One engine and the streams on it."""
    context = Context.of(request)
    return json_answer(context.views.engine_with_streams(context.engine(container_id)))


@post(
    "/engines/{container_id:str}/drain",
    opt=described("key", wire.Leaving, status=202),
    status_code=202,
)
async def drain_engine(
    request: Request[Any, Any, Any], container_id: FromPath[str]
) -> ASGIResponse:
    """Takes an engine off the list, and stops it once nothing on it moves."""
    context = Context.of(request)
    engine = context.engine(container_id)
    await context.loop.tell(DrainRequested(*engine.ref))
    status: wire.Going = "stopping" if engine.phase is Phase.STOPPING else "draining"
    return json_answer(msgspec.json.encode(wire.Leaving(container_id, status)), status=202)

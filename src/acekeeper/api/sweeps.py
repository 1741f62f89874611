"""/sweeps: what the timers call."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from acekeeper.api import wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.deadline import LONG
from acekeeper.api.described import described
from acekeeper.usecases.sweep import Kind, Report


@post("/sweeps/{kind:str}", opt=described("key", Report) | {LONG: True})
async def sweep(request: Request[Any, Any, Any], kind: FromPath[Kind]) -> ASGIResponse:
    """One pass, awaited: counts of what it found and did, and its `seconds`."""
    report = await Context.of(request).sweeps.run(kind)
    return json_answer(msgspec.json.encode(report))


@post("/gc", opt=described("key", wire.Swept) | {LONG: True})
async def sweep_all(request: Request[Any, Any, Any]) -> ASGIResponse:
    """One pass of every kind, awaited."""
    reports = await Context.of(request).sweeps.run_all()
    return json_answer(msgspec.json.encode({"status": "ok", **reports}))

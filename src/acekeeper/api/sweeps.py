"""/sweeps: what the timers call."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from acekeeper.api.context import Context, json_answer
from acekeeper.api.deadline import LONG
from acekeeper.usecases.sweep import Kind


@post("/sweeps/{kind:str}", opt={"access": "key", LONG: True})
async def sweep(request: Request[Any, Any, Any], kind: FromPath[Kind]) -> ASGIResponse:
    report = await Context.of(request).sweeps.run(kind)
    return json_answer(msgspec.json.encode(report))

"""/schema: the API's own description, for machines and for people."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from acekeeper.api.context import json_answer
from acekeeper.api.described import described
from acekeeper.api.document import document


class Documentation:
    """Made at the first read, off the event loop: few ever ask."""

    def __init__(self, routes: Sequence[HTTPRouteHandler]) -> None:
        self._routes = routes
        self._made: bytes | None = None

    async def document(self) -> bytes:
        if self._made is None:
            self._made = await asyncio.to_thread(self._make)
        return self._made

    def _make(self) -> bytes:
        return msgspec.json.encode(document(self._routes))


@get(["/schema/openapi.json", "/openapi.json"], opt=described("read", dict[str, Any]))
async def openapi_json(request: Request[Any, Any, Any]) -> ASGIResponse:
    """This document, as OpenAPI 3.1."""
    documentation: Documentation = request.app.state["documentation"]
    return json_answer(await documentation.document())

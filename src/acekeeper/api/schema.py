"""/schema: the API's own description, for machines and for people."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from acekeeper.api.context import json_answer
from acekeeper.api.described import described
from acekeeper.api.document import document
from acekeeper.api.page import POLICY, page


class Made(NamedTuple):
    json: bytes
    html: bytes


class Documentation:
    """Made at the first read, off the event loop: few ever ask."""

    def __init__(self, routes: Sequence[HTTPRouteHandler]) -> None:
        self._routes = routes
        self._made: Made | None = None

    async def made(self) -> Made:
        if self._made is None:
            self._made = await asyncio.to_thread(self._make)
        return self._made

    def _make(self) -> Made:
        described = document(self._routes)
        return Made(msgspec.json.encode(described), page(described).encode())

    @staticmethod
    def of(request: Request[Any, Any, Any]) -> "Documentation":
        documentation: Documentation = request.app.state["documentation"]
        return documentation


@get("/schema", opt=described("read", str, media="text/html"))
async def schema_page(request: Request[Any, Any, Any]) -> ASGIResponse:
    """This description, as a page to read."""
    made = await Documentation.of(request).made()
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return ASGIResponse(body=made.html, media_type="text/html", headers=headers)


@get(["/schema/openapi.json", "/openapi.json"], opt=described("read", dict[str, Any]))
async def openapi_json(request: Request[Any, Any, Any]) -> ASGIResponse:
    """This description, as OpenAPI 3.1."""
    return json_answer((await Documentation.of(request).made()).json)

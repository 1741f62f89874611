"""What every request and every answer passes, also those that no handler sees."""

import re
from collections.abc import Callable
from http import HTTPStatus
from secrets import token_hex
from time import perf_counter
from urllib.parse import unquote

import msgspec
from litestar.enums import HttpMethod, ScopeType
from litestar.types import (
    ASGIApp,
    HTTPResponseStartEvent,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)
from loguru import logger

from acekeeper.api.context import Context
from acekeeper.core.breaker import Circuit, circuit, seconds_left
from acekeeper.core.supply import remaining
from acekeeper.log import request_id_var, whole

_SLASHES = re.compile(b"/{2,}")
_SLASH_OR_PERCENT = re.compile("%(?=2f|25)", re.IGNORECASE)


class Edge:
    """`draining`: we are about to leave, so no connection is to be kept."""

    def __init__(self, app: ASGIApp, context: Context, draining: Callable[[], bool]) -> None:
        self._app = app
        self._context = context
        self._draining = draining
        self._counted = -1  # the revision of the state in which `remaining` was counted
        self._remaining = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = token_hex(8)
        request_id_var.set(request_id)
        # A base URL with a slash at its end gives clients two.
        raw = scope["raw_path"] = _SLASHES.sub(b"/", scope["raw_path"])
        scope["path"] = _decoded(raw)
        method = scope["method"]
        routed: HTTPScope = scope
        if method == "HEAD":
            routed = {**scope, "method": HttpMethod.GET}
            send = _without_body(send)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(message, request_id)
                self._tell(routed, method, message["status"], perf_counter() - began)
            await send(message)

        await self._app(routed, receive, answer)

    def unheard(self, status: int, why: str) -> bytes:
        """The answer to what is no HTTP, or not all of it, as it goes over the wire."""
        if status == HTTPStatus.REQUEST_TIMEOUT:
            self._context.metrics.communication_failed("api", "timeout")
        logger.info("request_refused", status=status, why=why)
        body = msgspec.json.encode({"detail": why})
        message: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ],
        }
        self._add_headers(message, token_hex(8))
        status_line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
        lines = [status_line, *(b"%b: %b" % h for h in message["headers"])]
        return b"\r\n".join([*lines, b"", body])

    def _tell(self, scope: HTTPScope, method: str, status: int, seconds: float) -> None:
        endpoint = scope.get("path_template") or "unmatched"
        self._context.metrics.answered(endpoint, method, status, seconds)
        if status >= 400:
            why = scope["state"].get("why")
            told = {"why": whole(why)} if why else {}
            path = whole(scope["path"])
            logger.info("request_refused", status=status, method=method, path=path, **told)

    def _add_headers(self, message: HTTPResponseStartEvent, request_id: str) -> None:
        state, rules = self._context.state, self._context.rules
        if self._counted != state.revision:
            self._counted, self._remaining = state.revision, str(remaining(state, rules))
        headers = {
            "x-request-id": request_id,
            "x-ratelimit-provisioning-limit": str(rules.max_concurrent_provisions),
            "x-ratelimit-provisioning-remaining": self._remaining,
        }
        if state.breaker.opened is not None:
            now = self._context.clock()
            where = circuit(state.breaker, rules, now)
            if where is not Circuit.CLOSED:
                headers["x-circuit-state"] = where.value
                headers["retry-after"] = str(seconds_left(state.breaker, rules, now))
        if self._draining():
            headers["connection"] = "close"
        given = list(message["headers"])
        names = {name.lower() for name, _ in given}
        encoded = ((name.encode(), value.encode()) for name, value in headers.items())
        message["headers"] = [*given, *(pair for pair in encoded if pair[0] not in names)]


def _without_body(send: Send) -> Send:
    """What GET would answer, for HEAD: it is over where a body begins, however long."""
    over = False

    async def headers_only(message: Message) -> None:
        nonlocal over
        if message["type"] == "http.response.start":
            await send(message)
        elif not over:
            over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return headers_only


def _decoded(raw: bytes) -> str:
    """But for slashes, since these belong to a name and do not divide the path. Nor percent signs,
    so that a name decoded once more is what was meant."""
    return unquote(_SLASH_OR_PERCENT.sub("%25", raw.decode("latin-1")))

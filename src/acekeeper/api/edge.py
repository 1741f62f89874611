"""What every request and every answer passes, also those that no handler sees."""

import re
from asyncio import Future
from collections.abc import Callable
from http import HTTPStatus
from random import getrandbits
from time import perf_counter
from typing import Any
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

from acekeeper.api.access import Access, Headers, Level
from acekeeper.api.application import ROUTES
from acekeeper.api.context import BEGUN, Asked, AtOnce, Context
from acekeeper.api.described import says
from acekeeper.api.queries import plain
from acekeeper.core.breaker import circuit, seconds_left
from acekeeper.core.supply import remaining
from acekeeper.deadlines import Deadlines
from acekeeper.extensions import BODY, WHOLE
from acekeeper.log import request_id_var, whole

_SLASHES = re.compile(b"/{2,}")
_READS, _TAKES = frozenset({"GET", "HEAD"}), frozenset({"POST"})
_OF_BODY = frozenset({b"content-type", b"expect"})
_SLASH_OR_PERCENT = re.compile("%(?=2f|25)", re.IGNORECASE)


class Edge:
    """`draining`: we are about to leave, so no connection is to be kept."""

    def __init__(
        self,
        app: ASGIApp,
        context: Context,
        access: Access,
        draining: Callable[[], bool],
        request_timeout: float,
    ) -> None:
        self._app = app
        self._context = context
        self._access = access
        self._draining = draining
        self._counted = -1  # the revision of the state in which `_always` was made
        self._always: Headers = ()
        self._deadlines = Deadlines(request_timeout, _wake)
        self._at_once: dict[bytes, tuple[str, Level, AtOnce, bool]] = {
            path.encode(): (path, route.opt["access"], said.at_once, said.body is not None)
            for route in ROUTES
            for path in route.paths
            if (said := says(route.opt)).at_once
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = _new_id()
        request_id_var.set(request_id)
        if not await self._answers(scope, request_id, began):
            await self._route(scope, receive, send, request_id, began)

    async def _answers(self, scope: HTTPScope, request_id: str, began: float) -> bool:
        route, method = self._at_once.get(scope["raw_path"]), scope["method"]
        extensions: Any = scope.get("extensions") or {}
        send = extensions.get(WHOLE)
        if route is None or send is None or self._draining():
            return False
        path, level, at_once, takes_body = route
        asked = self._asked(scope, takes_body)
        if asked is None or self._access.refusal(level, asked.headers):
            return False
        try:
            prepared = at_once(self._context, asked)
        except Exception:  # which comes again there, and is told
            return False
        if prepared is None:
            return False
        status, headers, body, durable = prepared
        if durable is not None:
            scope["state"][BEGUN] = prepared
            if not await self._is_kept(durable) or self._draining():
                return False
        headers = [*headers, (b"x-request-id", request_id.encode()), *self._standard()]
        lines = b"\r\n".join([*map(b": ".join, headers), b""])
        if not send(status, lines, b"" if method == "HEAD" else body):
            return False
        self._context.metrics.answered(path, method, status, perf_counter() - began)
        return True

    def _asked(self, scope: HTTPScope, takes_body: bool) -> Asked | None:
        """None: the framework finds out, and says it if something is wrong with the request."""
        query, headers = plain(scope["query_string"]), scope["headers"]
        if query is None or scope["method"] not in (_TAKES if takes_body else _READS):
            return None
        if not takes_body:
            return Asked(query, headers)
        body = scope["state"].get(BODY)
        if not body or len(body) > self._context.limits.max_body_bytes:
            return None
        kinds = [value for name, value in headers if name in _OF_BODY]
        return Asked(query, headers, body) if kinds == [b"application/json"] else None

    async def _is_kept(self, durable: Future[None]) -> bool:
        """Within the time of a request."""
        over: Future[None] = durable.get_loop().create_future()
        durable.add_done_callback(lambda _: _wake(over))
        self._deadlines.add(over)
        await over
        self._deadlines.discard(over)
        return durable.done() and not durable.exception()

    async def _route(
        self, scope: HTTPScope, receive: Receive, send: Send, request_id: str, began: float
    ) -> None:
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
        self._add_headers(message, _new_id())
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
        given = list(message["headers"])
        names = {name.lower() for name, _ in given}
        ours = [(b"x-request-id", request_id.encode()), *self._standard()]
        message["headers"] = [*given, *(header for header in ours if header[0] not in names)]

    def _standard(self) -> Headers:
        """Those of every answer that are the same for all at this moment."""
        state, rules = self._context.state, self._context.rules
        if self._counted != state.revision:
            self._counted = state.revision
            self._always = (
                (b"x-ratelimit-provisioning-limit", b"%d" % rules.max_concurrent_provisions),
                (b"x-ratelimit-provisioning-remaining", b"%d" % remaining(state, rules)),
            )
        headers = self._always
        if state.breaker.opened is not None:
            now = self._context.clock()
            where = circuit(state.breaker, rules, now).value.encode()
            left = seconds_left(state.breaker, rules, now)
            headers = (*headers, (b"x-circuit-state", where), (b"retry-after", b"%d" % left))
        return (*headers, (b"connection", b"close")) if self._draining() else headers


def _new_id() -> str:
    """It is no secret, and os.urandom would release the interpreter lock to other threads."""
    return f"{getrandbits(64):016x}"


def _wake(over: Future[None]) -> None:
    if not over.done():
        over.set_result(None)


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

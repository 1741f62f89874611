"""The gateway's door: what every request of a player passes, and every answer to it."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from secrets import token_hex
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

from litestar.types import HTTPScope, Receive, Send
from loguru import logger
from msgspec import Struct

from acekeeper.core.names import bracketed
from acekeeper.extensions import WAITED, cut, until_hung_up
from acekeeper.log import request_id_var, whole
from acekeeper.setting_kinds import Network
from acekeeper.usecases.admitted import PARAMETERS_MOST, may_enter

TS = "video/mp2t"
HLS = "application/vnd.apple.mpegurl"
JSON = "application/json"
TEXT = "text/plain"

_TARGET_MOST = 8192  # bytes: a `url` or a `magnet` may be long
_HEADERS = (  # an engine's own; like an engine, the gateway takes one request on a connection
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Cache-Control", b"no-store"),
    (b"Connection", b"close"),
)


class Call(Struct, frozen=True, kw_only=True):
    """One request of a player, checked at the door."""

    path: str
    query: Mapping[str, str]  # the first value of each name, decoded
    raw_query: str  # as it came
    player: str  # the address of the peer
    arrival: tuple[str, int]  # the address and port at which it arrived
    headers: Mapping[bytes, bytes]  # by names in lower case
    waited: float = 0.0  # seconds, before the service took the connection
    # Called if the player is gone before its answer is out: they give back what it was to get.
    if_gone: list[Callable[[], object]] = []


class Answer(Struct, frozen=True, kw_only=True):
    status: int
    media_type: str = TEXT
    body: bytes = b""
    headers: Mapping[str, str] = {}


# None: the connection is closed without an answer. Handlers are cancelled when the player hangs up.
Handler = Callable[[Call], Coroutine[Any, Any, Answer | None]]


class Route(Struct, frozen=True):
    handler: Handler
    media_type: str  # of an answer for which no JSON is asked


# By path; one that ends in a slash has all that is below it.
Routes = Mapping[str, Route]


def text(status: int, words: str) -> Answer:
    return Answer(status=status, body=words.encode())


def as_json(value: object, status: int = 200) -> Answer:
    """In the engine's own spacing."""
    return Answer(status=status, media_type=JSON, body=json.dumps(value).encode())


def origin(call: Call, port: int | None = None) -> str:
    """By the address at which the player's connection arrived: of the gateway, or of what listens
    on `port` there."""
    address, own = call.arrival
    return f"http://{bracketed(address)}:{port or own}"


def redirect(call: Call, path: str, port: int | None = None) -> Answer:
    return redirect_to(origin(call, port) + path)


def redirect_to(to: str) -> Answer:
    return Answer(status=302, body=f"Redirect to {to}".encode(), headers={"Location": to})


class Door:
    """An ASGI application. `answered` is told the route ("unmatched" if there is none), the status
    (0 where the player got no answer), and the seconds it took."""

    def __init__(
        self,
        routes: Routes,
        allowed: Sequence[Network],
        answered: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self._routes = routes
        self._below = tuple(path for path in routes if path.endswith("/"))
        self._allowed = allowed
        self._answered = answered

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        request_id_var.set(token_hex(8))
        path = self._routed(scope["path"])
        status = 0
        try:
            answer = await self._answer(scope, path, receive)
            if answer is None:
                await cut(scope, receive)
                return
            status = answer.status
            if status >= HTTPStatus.BAD_REQUEST:
                _tell(scope, answer)
            await _send(scope, send, answer)
        finally:
            self._answered(path or "unmatched", status, perf_counter() - began)

    def unheard(self, status: int, why: str) -> bytes:
        """The answer to what is no HTTP, or not all of it, as it goes over the wire."""
        logger.info("request_refused", status=status, why=why)
        answer = text(status, why)
        lines = (b"%b: %b" % header for header in _headers(answer))
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), *lines
        return b"\r\n".join([*head, b"", answer.body])

    def _routed(self, path: str) -> str:
        """The path of its route, empty if there is none."""
        if path in self._routes and path not in self._below:
            return path
        return next((above for above in self._below if path.startswith(above)), "")

    async def _answer(self, scope: HTTPScope, path: str, receive: Receive) -> Answer | None:
        peer, here = scope["client"], scope["server"]
        if peer is None or here is None or here[1] is None:
            return None  # the player left before its address was read
        player = _plain(peer[0])
        arrival = _plain(here[0])
        if not may_enter(player, arrival, self._allowed):
            return text(403, "Only this host and the networks of GATEWAY_ALLOW may play here")
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            return text(501, "Unsupported method")
        if not path:
            return text(404, "Not Found")
        raw_query = scope["query_string"].decode("latin-1")
        if len(scope["raw_path"]) + len(raw_query) > _TARGET_MOST:
            return text(414, f"The request is longer than {_TARGET_MOST} bytes")
        try:
            query = _first_values(raw_query)
        except ValueError:
            return text(400, f"The request has more than {PARAMETERS_MOST} parameters")
        route = self._routes[path]
        if method == "HEAD":
            wanted = JSON if query.get("format") == "json" else route.media_type
            return Answer(status=200, media_type=wanted)
        extensions: dict[str, Any] = scope.get("extensions") or {}
        call = Call(
            path=scope["path"],
            query=query,
            raw_query=raw_query,
            player=player,
            arrival=(arrival, here[1]),
            headers=dict(scope["headers"]),
            waited=extensions.get(WAITED, 0.0),
        )
        presence = asyncio.timeout(None)
        hung_up = asyncio.create_task(_ends(presence, receive))
        try:
            async with presence:
                return await route.handler(call)
        except Exception as error:
            if isinstance(error, TimeoutError) and presence.expired():
                return None
            logger.opt(exception=error).error("request_failed", path=whole(scope["path"]))
            return text(500, "Internal Server Error")
        finally:
            if hung_up.done():
                for give_back in call.if_gone:
                    give_back()
            hung_up.cancel()


async def _ends(presence: asyncio.Timeout, receive: Receive) -> None:
    await until_hung_up(receive)
    presence.reschedule(0)


def _first_values(raw_query: str) -> dict[str, str]:
    pairs = parse_qsl(raw_query, keep_blank_values=True, max_num_fields=PARAMETERS_MOST)
    return dict(reversed(pairs))


def _plain(address: str) -> str:
    """Without the prefix that a socket for IPv6 and IPv4 puts before an IPv4 address."""
    return address.removeprefix("::ffff:")


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [
        *_HEADERS,
        (b"Content-Type", answer.media_type.encode()),
        (b"Content-Length", b"%d" % len(answer.body)),
        *((name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()),
    ]


async def _send(scope: HTTPScope, send: Send, answer: Answer) -> None:
    headers = _headers(answer)
    if scope["method"] == "HEAD":  # a GET may answer any number of bytes
        headers = [header for header in headers if header[0] != b"Content-Length"]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _tell(scope: HTTPScope, answer: Answer) -> None:
    logger.info(
        "request_refused",
        status=answer.status,
        method=scope["method"],
        path=whole(scope["path"]),
        why=whole(answer.body.decode()),
    )

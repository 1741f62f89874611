"""What the handlers work with, put together once by the wiring."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from litestar import Request
from litestar.exceptions import NotFoundException
from litestar.response.base import ASGIResponse
from msgspec import Struct

from acekeeper.api.access import Headers
from acekeeper.api.followers import Followers
from acekeeper.api.views import Views
from acekeeper.core.model import Engine, Now, Stream
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.metrics import Metrics
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.protocols import History
from acekeeper.usecases.sweep import Sweeps


class Limits(Struct, frozen=True, kw_only=True):
    max_body_bytes: int
    max_batch_events: int


class Context(Struct, frozen=True, kw_only=True):
    loop: Loop
    sweeps: Sweeps
    views: Views
    history: History
    followers: Followers
    metrics: Metrics
    limits: Limits
    target_image: str | None
    fleet: str | None  # its name; None: this host belongs to none
    degraded: Callable[[], list[str]]
    gateway: Sequence[str] | None  # the addresses at which it listens; None: it is turned off

    @property
    def state(self) -> State:
        return self.loop.state

    @property
    def rules(self) -> Rules:
        return self.loop.rules

    def engine(self, container_id: str) -> Engine:
        """One of ours, or the answer is 404."""
        engine = self.state.find(container_id)
        if engine is None:
            raise NotFoundException(f"no engine has the container id {container_id[:80]}")
        return engine

    def stream(self, segment: str) -> Stream:
        """By a segment of a path, or the answer is 404."""
        stream_id = stream_name(segment)
        stream = self.state.streams.get(stream_id)
        if stream is None:
            raise no_such_stream(stream_id)
        return stream

    def clock(self) -> Now:
        return self.loop.clock()

    @staticmethod
    def of(request: Request[Any, Any, Any]) -> "Context":
        context: Context = request.app.state["context"]
        return context


class Asked(NamedTuple):
    """What a route is asked before the framework is. `body`: a small one."""

    query: Mapping[str, str] = {}
    headers: Headers = ()
    body: bytes = b""


class Prepared(NamedTuple):
    """An answer as it is sent, which is not before what was told is on disk: `durable`."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    durable: Future[None] | None = None

    async def response(self) -> ASGIResponse:
        if self.durable is not None:
            await self.durable
        headers = [(name.decode(), value.decode("latin-1")) for name, value in self.headers]
        return ASGIResponse(body=self.body, status_code=self.status, headers=headers)


AtOnce = Callable[[Context, Asked], Prepared | None]
"""A route's good answer, from memory. None, or what it raises: its handler knows more, and nothing
was taken."""

BEGUN = "begun"  # in the scope's state: what is taken and not answered yet


def prepared(
    body: bytes,
    *headers: tuple[bytes, bytes],
    status: int = 200,
    durable: Future[None] | None = None,
) -> Prepared:
    """JSON."""
    kind, length = (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))
    return Prepared(status, [*headers, kind, length], body, durable)


def stream_name(segment: str) -> str:
    """A stream's id as a segment of a path: the edge leaves a slash in it encoded."""
    return unquote(segment)


def no_such_stream(stream_id: str) -> NotFoundException:
    return NotFoundException(f"no stream has the id {stream_id[:80]}")


def json_answer(
    body: bytes, headers: Mapping[str, str] | None = None, status: int = 200
) -> ASGIResponse:
    return ASGIResponse(
        body=body, status_code=status, headers=dict(headers or {}), media_type="application/json"
    )

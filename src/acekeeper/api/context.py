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
from acekeeper.core.model import Engine, Now, Rules, Stream
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


class Prepared(NamedTuple):
    """An answer as it is sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> ASGIResponse:
        headers = [(name.decode(), value.decode("latin-1")) for name, value in self.headers]
        return ASGIResponse(body=self.body, status_code=self.status, headers=headers)


AtOnce = Callable[[Context, Mapping[str, str], Headers], Prepared | None]
"""A route's answer from memory to this query and these headers. None: its handler knows more."""


BEGUN = "begun"  # in the scope's state


class Begun(NamedTuple):
    """A request that is taken: its answer, for when what it told is on disk."""

    durable: Future[None]
    answer: Prepared


Begin = Callable[[Context, bytes], Begun]
"""Takes a body. What it raises is wrong with that, and nothing is taken."""


def prepared(body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> Prepared:
    """JSON."""
    kind, length = (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))
    return Prepared(status, [*headers, kind, length], body)


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

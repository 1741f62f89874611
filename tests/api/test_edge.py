"""What is answered before the framework is what the framework would have answered."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from acekeeper.api.access import Access
from acekeeper.api.application import ROUTES, application
from acekeeper.api.context import Context
from acekeeper.api.described import says
from acekeeper.api.edge import Edge
from acekeeper.core.facts import Fact, StreamEnded
from acekeeper.core.model import Breaker, Health
from acekeeper.errors import StoreFailed
from acekeeper.extensions import WHOLE
from acekeeper.listening import bind

from ..core.world import slot
from ..ports import free_port
from ..running import LIMIT_S
from ..test_server import serving
from . import bodies
from .busy import busy, container

KEY = "k" * 32
PLAYED, UNKNOWN = (f"/streams?container_id={name}&status=started" for name in (container(0), "no"))
AT_ONCE = [
    "/engines",
    "/engines?include=usable",
    "/engines?of=us",
    PLAYED,
    UNKNOWN,
    f"/streams?status=started&container_id={container(1)}",
    "/orchestrator/status",
    "/health/ready",
    "/health/ready?of=us",
]
LATER = [
    "/engines?include=all",
    "/engines?include=no",
    "/engines?include=",
    "/engines?include=us%61ble",
    "/engines?include=usable&include=usable",
    f"{PLAYED}&limit=1",
    f"{PLAYED}&limit=no",
    f"{PLAYED}&status=started",
    "/streams?container_id=&status=started",
    "/streams?status=started",
    "/health/ready?of=us&of=us",
    "/health/status",
    "/nowhere",
]
HEADERS = [
    {},
    {"Host": "elsewhere.example"},
    {"Host": "elsewhere.example", "Authorization": f"Bearer {KEY}"},
    {"Authorization": "Bearer no"},
    {"Origin": "https://elsewhere.example"},
    {"If-None-Match": "*"},
    {"If-None-Match": '"no", W/"no"'},
    {"Connection": "close"},
    {"Expect": "100-continue"},
]
STARTED, ENDED = msgspec.json.encode(bodies.started()), b'{"stream_id":"nowhere"}'
EVENTS = {
    "/events/stream_started": [STARTED, b"{}", b"[", b"", STARTED + b" " * 2000],
    "/events/stream_ended": [ENDED, b"{}", b'{"stream_id":1}', b'{"stream_id":"\xff"}'],
}
JSON = {"Content-Type": "application/json"}
TOLD_WITH = [
    ({}, True),
    ({"Authorization": f"Bearer {KEY}"}, True),
    ({"Host": "elsewhere.example"}, True),
    ({"Origin": "https://elsewhere.example"}, True),
    ({"Connection": "close"}, True),
    ({"Content-Type": "application/json; charset=utf-8"}, False),
    ({"Content-Type": "text/plain"}, False),
    ({"Expect": "100-continue"}, False),
]
_LAST = b"/last"
SAME = re.compile(rb"(?<=\r\n)(?:x-request-id: [0-9a-f]{16}|date: [^\r]+)\r\n")


class Both:
    """The service on a socket, and which requests came to the framework."""

    def __init__(
        self,
        context: Context,
        access: Access,
        listening: socket.socket,
        within: float,
        at_edge: float | None,
    ) -> None:
        self.context = context
        self.is_leaving = False
        self.came: list[bytes] = []
        self.counted: list[Any] = []
        self._framework: Any = application(context, access, within, 600)
        self._address = listening.getsockname()
        self.edge: Any = Edge(
            self._go_on, context, access, lambda: self.is_leaving, at_edge or within
        )

    async def _go_on(self, scope: Any, *more: Any) -> None:
        if scope["raw_path"] != _LAST:
            self.came.append(scope["raw_path"])
        await self._framework(scope, *more)

    async def ask(
        self, method: str, target: str, headers: dict[str, str], body: bytes = b""
    ) -> tuple[bool, bytes]:
        """Whether it was answered at once; and the answer, which is the same both ways. To the
        framework a slash more is the same path, while the edge knows only the plain one."""
        said, at_once = [], False
        for path in (target, f"/{target}"):
            self.came.clear()
            self.counted.clear()
            answer = await self.exchange(method, path, headers, body)
            said.append((SAME.sub(b"", answer), self.counted[0][:3]))
            assert len(SAME.findall(answer)) == 2
            at_once = at_once or not self.came
        assert self.came
        first, second = said
        assert first == second
        return at_once, first[0]

    async def exchange(
        self, method: str, target: str, headers: dict[str, str], content: bytes = b""
    ) -> bytes:
        """The answer, as it comes; what follows it is the answer to a second request, or nothing if
        it says so."""
        lines = {"Host": "localhost"} | headers
        if content:
            lines |= {"Content-Length": str(len(content))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        last = f"GET {_LAST.decode()} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        reader, writer = await asyncio.open_connection(*self._address)
        asked = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode()
        writer.write(asked + content + last.encode())
        said = await asyncio.wait_for(reader.read(), LIMIT_S)
        writer.close()
        said = said.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        given, _, rest = said.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", given)
        body = rest[: int(length[1])] if length and method != "HEAD" else b""
        after = b"" if b"\r\nconnection: close" in given else b"HTTP/1.1 404 "
        assert rest[len(body) :][:13] == after
        return given + b"\r\n\r\n" + body


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with closing(bind("127.0.0.1", free_port())[0]) as listening:
        yield listening


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    """Of which time stands still."""
    async with busy(tmp_path, engines=3, each=1, max_replicas=4) as pool:
        now = pool.loop.clock()
        pool.loop.clock = lambda: now
        yield pool.context


@asynccontextmanager
async def both(
    context: Context,
    listening: socket.socket,
    keys: Sequence[str] = (),
    local: bool = True,
    within: float = 600,
    at_edge: float | None = None,
) -> AsyncIterator[Both]:
    access = Access(keys, [], local, context.rules.local_names)
    served = Both(context, access, listening, within, at_edge)
    context.metrics.answered = lambda *told: served.counted.append(told)  # type: ignore[method-assign]
    async with serving(served.edge, listening, unheard=served.edge.unheard):
        yield served


@pytest.mark.parametrize(("keys", "local"), [*product([(), (KEY,)], [True, False])])
async def test_either_way_says_the_same(
    context: Context, listening: socket.socket, keys: Sequence[str], local: bool
) -> None:
    async with both(context, listening, keys, local) as served:
        asked = [("GET", headers) for headers in HEADERS] + [("HEAD", {}), ("POST", {})]
        for target, (method, headers) in product(AT_ONCE + LATER, asked):
            at_once, answer = await served.ask(method, target, headers)
            good = answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 304 "))
            plain = target in AT_ONCE and method != "POST" and good
            assert at_once == plain, (target, method, headers)


@pytest.mark.parametrize(("keys", "local"), [*product([(), (KEY,)], [True, False])])
async def test_an_event_is_taken_the_same_either_way(
    context: Context, listening: socket.socket, keys: Sequence[str], local: bool
) -> None:
    async with both(context, listening, keys, local) as served:
        for (target, told), (given, is_plain) in product(EVENTS.items(), TOLD_WITH):
            for body in told:
                at_once, answer = await served.ask("POST", target, JSON | given, body)
                taken = answer.startswith(b"HTTP/1.1 202 ")
                assert at_once == (taken and is_plain), (target, given, body)
        assert not (await served.ask("POST", f"{target}?of=", JSON, ENDED))[0]
        assert not (await served.ask("GET", target, JSON))[0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreFailed("the disk is full", "Free space"), b"the disk is full"),
        (None, b"not done within the 0.2 s of API_REQUEST_TIMEOUT_S"),
    ],
)
async def test_an_event_that_is_not_kept_is_told_once(
    context: Context,
    listening: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    error: StoreFailed | None,
    said: bytes,
) -> None:
    told: list[Fact] = []
    failed: list[str] = []

    def tell_all(facts: Iterable[Fact]) -> asyncio.Future[None]:
        told.extend(facts)
        durable = asyncio.get_running_loop().create_future()
        if error:
            durable.set_exception(error)
        return durable

    async with both(context, listening, within=0.2) as served:
        monkeypatch.setattr(context.loop, "tell_all", tell_all)
        monkeypatch.setattr(context.metrics, "event_failed", failed.append)
        _, answer = await served.ask("POST", "/events/stream_ended", JSON, ENDED)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert said in answer
        assert told.count(StreamEnded("nowhere", "", "")) == 2  # once a request
        assert failed == (["stream_ended"] * 2 if error else [])


async def test_an_event_that_the_edge_waited_for_is_not_waited_for_again(
    context: Context, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell_all(facts: Iterable[Fact]) -> asyncio.Future[None]:
        list(facts)
        return asyncio.get_running_loop().create_future()

    async with both(context, listening, within=600, at_edge=0.05) as served:
        monkeypatch.setattr(context.loop, "tell_all", tell_all)
        answer = await served.exchange("POST", "/events/stream_ended", JSON, ENDED)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"not done within" in answer


async def test_either_way_says_what_is_so_now(context: Context, listening: socket.socket) -> None:
    state, now = context.state, context.clock()
    engine = state.engines[slot(0)]
    last: dict[str, bytes] = {}
    async with both(context, listening) as served:

        async def changed() -> set[str]:
            """What is said otherwise than before."""
            before = dict(last)
            for target in AT_ONCE:
                _, last[target] = await served.ask("GET", target, {})
            return {name for name in last if last[name] != before.get(name)}

        await changed()
        assert await changed() == set()
        tag = re.search(rb"etag: (.+)\r", last["/engines"])
        assert tag
        condition = {"If-None-Match": tag[1].decode()}
        _, answer = await served.ask("GET", "/engines", condition)
        assert answer.startswith(b"HTTP/1.1 304 ")
        state.put(replace(engine, health=Health.UNHEALTHY))
        assert {"/engines", "/orchestrator/status"} <= await changed()
        _, answer = await served.ask("GET", "/engines", condition)
        assert answer.startswith(b"HTTP/1.1 200 ")
        [stream] = state.started_on(slot(0))
        state.put_stream(replace(stream, ended=now))
        assert {PLAYED, "/orchestrator/status", "/health/ready"} <= await changed()
        state.put(replace(engine, ready=None))
        assert await changed() == set(AT_ONCE)  # all tell of it in their headers
        state.connected = False
        assert await changed() == {name for name in AT_ONCE if "ready" in name}
        state.put_breaker(Breaker(5, now, now))
        assert await changed() == set(AT_ONCE)
        assert b"x-circuit-state: open" in last["/engines"]
        later = now.after(1)
        context.loop.clock = lambda: later
        assert await changed() == set(AT_ONCE)  # and how long it lasts


async def test_while_it_drains_every_connection_ends(
    context: Context, listening: socket.socket
) -> None:
    async with both(context, listening) as served:
        served.is_leaving = True
        for target in AT_ONCE:
            _, answer = await served.ask("GET", target, {})
            assert b"connection: close" in answer


async def test_a_defect_is_told_by_the_framework(
    context: Context, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.views, "_state", None)
    async with both(context, listening) as served:
        at_once, answer = await served.ask("GET", "/engines", {})
        assert not at_once
        assert answer.startswith(b"HTTP/1.1 500 ")


async def test_who_takes_nothing_is_not_answered_at_once(
    context: Context, listening: socket.socket
) -> None:
    async with both(context, listening) as served:
        kept = (await served.exchange("GET", "/engines", {})).partition(b"\r\n\r\n")[2]
        sends: list[Any] = []

        def cannot(*given: Any) -> bool:
            sends.append(given)
            return False

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/engines",
            "raw_path": b"/engines",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "extensions": {WHOLE: cannot},
            "state": {},
        }
        told: list[Any] = []

        async def send(message: Any) -> None:
            told.append(message)

        await served.edge(scope, None, send)
        assert [body for _, _, body in sends] == [message["body"] for message in told[1:]] == [kept]


def test_only_reads_and_single_events_are_given_at_once() -> None:
    given = [route for route in ROUTES if says(route.opt).at_once]
    reads = [route for route in given if route.http_methods == {"GET"}]
    assert len(reads) == 5
    taken = [route for route in given if route.http_methods == {"POST"}]
    assert {path for route in taken for path in route.paths} == set(EVENTS)
    assert len(reads) + len(taken) == len(given)

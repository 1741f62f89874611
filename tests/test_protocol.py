"""What a connection may do, where a test sees inside: who is let go, and when."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from litestar.types import Receive, Send

from acekeeper.crowd import Crowd
from acekeeper.extensions import WHOLE
from acekeeper.listening import bind
from acekeeper.protocol import Protocol
from acekeeper.server import Server

from .ports import free_port
from .running import LIMIT_S
from .test_server import HEAD_WITHIN_S, Caller, Slow, serving

LONG_S = 100.0


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with closing(bind("127.0.0.1", free_port())[0]) as listening:
        yield listening


class Named:
    """One of those of whom there are too many."""

    def __init__(self) -> None:
        self.is_gone = False

    def let_go(self) -> None:
        self.is_gone = True


def test_who_never_asked_goes_first_then_who_asks_nothing_now() -> None:
    crowd = Crowd(4)
    idle, busy, new, newer = everybody = [Named() for _ in range(4)]
    for count, caller in enumerate(everybody, 1):
        assert crowd.enter(caller, count)
    for caller in (idle, busy):
        crowd.busy(caller)
    crowd.idle(idle)
    for leaves in (new, newer, idle):
        assert not leaves.is_gone
        another = Named()
        assert crowd.enter(another, 5)
        assert leaves.is_gone
        crowd.busy(another)
    assert not crowd.enter(last := Named(), 5)
    assert [caller.is_gone for caller in (busy, last)] == [False, False]


def test_who_left_makes_room_by_itself() -> None:
    crowd = Crowd(2)
    gone, stays = Named(), Named()
    assert crowd.enter(gone, 1)
    crowd.leave(gone)
    assert crowd.enter(stays, 1)
    assert crowd.enter(Named(), 2)
    assert [caller.is_gone for caller in (gone, stays)] == [False, False]


def test_the_slowest_goes_when_too_much_waits_to_be_taken() -> None:
    crowd = Crowd(9)
    slow = [Named() for _ in range(4)]
    crowd.slow(slow[0], 10**9)
    assert not slow[0].is_gone  # one answer may be of any length
    crowd.took(slow[0])
    for caller in slow[:3]:
        crowd.slow(caller, 5 * 1024 * 1024)
    assert not any(caller.is_gone for caller in slow)
    crowd.took(slow[0])
    crowd.slow(slow[0], 5 * 1024 * 1024)  # not the slowest any more
    crowd.slow(slow[3], 5 * 1024 * 1024)
    assert [caller.is_gone for caller in slow] == [False, True, False, False]


@asynccontextmanager
async def few(
    monkeypatch: pytest.MonkeyPatch, app: Slow, listening: socket.socket, most: int
) -> AsyncIterator[Server]:
    monkeypatch.setattr("acekeeper.server.most_callers", lambda: most)
    monkeypatch.setattr("tests.test_server.HEAD_WITHIN_S", LONG_S)
    async with serving(app, listening) as server:
        yield server


async def test_where_all_are_being_answered_one_more_is_refused(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Slow()
    async with few(monkeypatch, app, listening, 2):
        callers = [await Caller.to(listening) for _ in range(2)]
        for caller in callers:
            app.asked.clear()
            caller.ask()
            await asyncio.wait_for(app.asked.wait(), LIMIT_S)
        late = await Caller.to(listening)
        assert b"too many connections" in await asyncio.wait_for(late.reader.read(), LIMIT_S)
        late.writer.close()
        app.go_on.set()
        for caller in callers:
            assert (await caller.headers()).startswith("http/1.1 200")
            caller.writer.close()


async def test_one_more_takes_the_place_of_who_never_asked(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Slow()
    app.go_on.set()
    async with few(monkeypatch, app, listening, 3) as server:
        known, silent, half = callers = [await Caller.to(listening) for _ in range(3)]
        known.ask()
        await known.headers()
        half.writer.write(b"GET / HTTP/1.1\r\n")
        for leaves in (silent, half):
            callers.append(another := await Caller.to(listening))
            assert await leaves.ends()
            another.ask()
            assert (await another.headers()).startswith("http/1.1 200")
        known.ask()
        await known.reader.readuntil(b"0\r\n\r\n")
        assert (await known.headers()).startswith("http/1.1 200")
        assert len(server.server_state.connections) == 3
        for caller in callers:
            caller.writer.close()


async def test_a_head_in_one_piece_is_not_taken_whole(listening: socket.socket) -> None:
    async with serving(Slow(), listening) as server:
        caller = await Caller.to(listening)
        async with asyncio.timeout(LIMIT_S):
            while not server.server_state.connections:
                await asyncio.sleep(0.01)
        [protocol] = server.server_state.connections
        assert isinstance(protocol, Protocol)
        protocol.data_received(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1_000_000)
        assert b"100 header fields" in await asyncio.wait_for(caller.reader.read(), LIMIT_S)
        assert len(protocol.headers) == 101
        caller.writer.close()


async def test_empty_lines_are_no_head(listening: socket.socket) -> None:
    async with serving(Slow(), listening):
        caller = await Caller.to(listening)
        caller.writer.write(b"\r\n")
        said = await asyncio.wait_for(caller.reader.read(), LIMIT_S)
        assert b"its head did not come" in said
        caller.writer.close()


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_body_ends_soon_after_its_answer(listening: socket.socket, is_late: bool) -> None:
    app = Slow()
    app.go_on.set()
    async with serving(app, listening):
        caller = await Caller.to(listening)
        caller.writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
        assert (await caller.headers()).startswith("http/1.1 200")
        await caller.reader.readexactly(len(b"0\r\n\r\n"))
        if is_late:
            assert await asyncio.wait_for(caller.reader.read(), LIMIT_S) == b""
        else:
            caller.writer.write(b"defghi")
            caller.ask()
            assert (await caller.headers()).startswith("http/1.1 200")
        caller.writer.close()


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("size", [100_000, 20_000_000])
async def test_an_answer_that_is_whole_and_not_taken_is_cut(
    listening: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    connection: str,
    size: int,
    at_once: bool,
) -> None:
    """Whether or not it fits into what the kernel keeps for it, with some of it left here."""
    monkeypatch.setattr("acekeeper.server._KEEP_ALIVE_S", HEAD_WITHIN_S)

    async def app(scope: Any, _receive: Receive, send: Send) -> None:
        if at_once:
            assert scope["extensions"][WHOLE](200, b"content-length: %d\r\n" % size, bytes(size))
            return
        headers = [(b"connection", connection.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size), "more_body": False})

    async with serving(app, listening) as server:
        with closing(socket.socket()) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(listening.getsockname())
            caller.sendall(
                f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode()
            )
            async with asyncio.timeout(LIMIT_S):
                while not server.server_state.total_requests:
                    await asyncio.sleep(0.01)
                while server.server_state.connections:
                    await asyncio.sleep(0.01)


async def test_behind_an_answer_that_is_not_taken_none_is_given_at_once(
    listening: socket.socket,
) -> None:
    given: list[bool] = []
    went_on = asyncio.Event()

    async def app(scope: Any, _receive: Receive, send: Send) -> None:
        body = bytes(20_000_000)
        lines = b"content-length: %d\r\n" % len(body)
        given.append(scope["extensions"][WHOLE](200, lines, body))
        if not given[-1]:
            went_on.set()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"second", "more_body": False})

    async with serving(app, listening):
        caller = await Caller.to(listening)
        caller.ask()
        caller.ask()
        await asyncio.wait_for(went_on.wait(), LIMIT_S)
        assert given == [True, False]
        await caller.headers()
        await asyncio.wait_for(caller.reader.readexactly(20_000_000), LIMIT_S)
        assert (await caller.headers()).startswith("http/1.1 200")
        caller.writer.close()

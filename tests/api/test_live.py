"""/log/live on real sockets: nothing is lost, nothing comes twice, and nobody is held up."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import aiohttp
import pytest

from acekeeper.api import followers, log
from acekeeper.app import api
from acekeeper.listening import bind
from acekeeper.server import Server

from ..ports import free_port
from ..running import LIMIT_S
from ..test_server import serving, stops_listening
from .bodies import started
from .conftest import Serve, Served

EVENTS = 300
STALLING = 60  # events that are more than the kernel takes for who does not read


class Follower:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/log/live"
        self.last: int | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Yields the entries; remembers the last id, as a browser does."""
        headers = {} if self.last is None else {"Last-Event-ID": str(self.last)}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.url) as got:
            assert got.status == 200, await got.text()
            assert got.headers["Content-Type"] == "text/event-stream"
            assert got.headers["X-RateLimit-Provisioning-Limit"]
            yield self._entries(got)

    async def _entries(self, got: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
        async with asyncio.timeout(LIMIT_S):
            async for line in got.content:
                if line.startswith(b"id: "):
                    self.last = int(line[4:])
                elif line.startswith(b"data: "):
                    yield json.loads(line[6:])


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with closing(bind("127.0.0.1", free_port())[0]) as held:
        # So that little is on its way to one that takes nothing; connections inherit it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield held


@asynccontextmanager
async def live(served: Served, held: socket.socket, **config: Any) -> AsyncIterator[Server]:
    app = api(served.settings, served.context, True, bool)
    async with serving(app, held, served.context.followers.close, **config) as server:
        yield server


def port(held: socket.socket) -> int:
    number: int = held.getsockname()[1]
    return number


def following(served: Served) -> int:
    return len(served.context.followers._woken)


async def pour(served: Served, first: int, beyond: int, size: int = 32) -> None:
    for n in range(first, beyond):
        answer = await served.post(
            "/events/stream_started", started(labels={"stream_id": _id(n, size)})
        )
        assert answer.status_code == 202


def _id(n: int, size: int) -> str:
    return f"{n:05}".ljust(size, "x")


async def test_who_comes_back_misses_nothing_and_sees_nothing_twice(
    served: Served, held: socket.socket
) -> None:
    """While events pour in, it is cut off in the middle of them again and again."""
    follower = Follower(port(held))
    seen: list[dict[str, Any]] = []
    async with live(served, held):
        async with follower.connected():
            await served.until(lambda s: following(s) == 1)
        # What it has of the first connection is where the log was then: an id, and no event.
        first_id = await served.context.history.newest_id()
        follower.last = first_id
        pouring = asyncio.create_task(pour(served, 0, EVENTS))
        connections = 0
        while len(seen) < EVENTS:
            connections += 1
            async with follower.connected() as entries:
                async for entry in entries:
                    assert entry["id"] == follower.last
                    seen.append(entry)
                    if len(seen) % (7 + connections) == 0 or len(seen) == EVENTS:
                        break
        await pouring
    assert connections > 5
    assert [entry["stream"] for entry in seen] == [_id(n, 32) for n in range(EVENTS)]
    written = await served.context.history.log_after(first_id, 10 * EVENTS)
    assert [entry["id"] for entry in seen] == [logged.id for logged in written]
    told = (await served.get(f"/log?limit={EVENTS}")).json()
    assert told == seen[::-1]


async def test_a_new_follower_hears_from_now_on_and_where_it_stands(
    served: Served, held: socket.socket
) -> None:
    await pour(served, 0, 3)
    newest = await served.context.history.newest_id()
    follower = Follower(port(held))
    async with live(served, held), follower.connected() as entries:
        await served.until(lambda s: following(s) == 1)
        await pour(served, 3, 4)
        entry = await anext(entries)
        assert (entry["stream"], entry["id"]) == (_id(3, 32), newest + 1)


async def test_what_is_not_on_disk_yet_is_not_told_and_told_once_it_is(
    served: Served, held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    follower = Follower(port(held))
    async with live(served, held), follower.connected() as entries:
        await served.until(lambda s: following(s) == 1)
        monkeypatch.setattr("acekeeper.adapters.opened.save", full)
        assert (await served.post("/events/stream_started", started())).status_code == 503
        coming = asyncio.ensure_future(anext(entries))
        await asyncio.wait({coming}, timeout=0.3)
        assert not coming.done()
        monkeypatch.undo()
        assert (await coming)["kind"] == "stream_started"


async def test_open_streams_do_not_hold_the_exit(
    served: Served, held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of one that listens nor of one that takes nothing any more."""
    monkeypatch.setattr(followers, "KEEP_ALIVE", 600)
    follower = Follower(port(held))
    async with live(served, held, timeout_graceful_shutdown=600) as server:
        stalled = await _stalled(served, held)
        follower.last = 1
        async with follower.connected() as entries:
            while (await anext(entries))["stream"] != _id(STALLING - 1, 8000):
                pass  # what was begun before has got as far as it can
            assert following(served) == 2
            server.handle_exit(signal.SIGTERM, None)
            await stops_listening(server)
            assert [entry async for entry in entries] == []
    assert following(served) == 0
    stalled.close()


async def _stalled(served: Served, held: socket.socket) -> socket.socket:
    """One that asks for all and reads nothing of it, so that what is sent to it waits."""
    client = socket.create_connection(held.getsockname(), LIMIT_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await pour(served, 0, STALLING, size=8000)
    client.sendall(b"GET /log/live HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1\r\n\r\n")
    await served.until(lambda s: following(s) == 1)
    return client


async def test_a_slow_one_is_cut_off(
    served: Served, held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "_TAKEN_WITHIN", 0.2)
    monkeypatch.setattr(log, "_AT_ONCE", 10)
    async with live(served, held):
        client = await _stalled(served, held)
        await served.until(lambda s: following(s) == 0)
        assert (await served.get("/health/ready")).json()["degraded"] == []
        client.close()


async def test_only_so_many_may_follow(
    served: Served, held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "_MOST", 1)
    async with live(served, held):
        async with Follower(port(held)).connected():
            await served.until(lambda s: following(s) == 1)
            async with aiohttp.ClientSession() as session:
                refused = await session.get(f"http://127.0.0.1:{port(held)}/log/live")
                assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
        await served.until(lambda s: following(s) == 0)  # who left makes room
        async with Follower(port(held)).connected():
            pass


async def test_it_goes_on_beyond_the_time_of_a_request_and_says_that_it_lives(
    serve: Serve, held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "KEEP_ALIVE", 0.1)
    served: Served = await serve(API_REQUEST_TIMEOUT_S="0.2")
    async with live(served, held), aiohttp.ClientSession() as session:
        got = await session.get(f"http://127.0.0.1:{port(held)}/log/live")
        comments = 0
        async with asyncio.timeout(LIMIT_S):
            async for line in got.content:
                comments += line == b":\n"
                if comments == 5:
                    break
        got.close()

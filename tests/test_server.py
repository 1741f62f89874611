"""The server on real sockets: where it listens, and an end that costs nobody an answer."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from acekeeper.api.deadline import all_within, deadline
from acekeeper.app import api, service
from acekeeper.client import call
from acekeeper.errors import BadSetting
from acekeeper.listening import are_loopback, bind
from acekeeper.server import Server, serve_until_told
from acekeeper.settings import load

from .api.bodies import started
from .ports import free_port
from .running import LIMIT_S, Service, settings, until

CLIENTS = 6
HEAD_WITHIN_S = 0.2


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """A listening socket that outlives the servers on it, as systemd holds it."""
    with closing(bind("127.0.0.1", free_port())[0]) as held:
        yield held


class Client(threading.Thread):
    """Calls on and on over one connection as long as that is kept; any failure counts."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__()
        self.answers = 0
        self.errors: list[str] = []
        self.started: list[str] = []
        self.enough = threading.Event()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self._number = number

    def run(self) -> None:
        while not self.enough.is_set():
            try:
                self._call("GET", "/engines", 200)
                name = f"{self._number}-{self.answers}"
                body = started(labels={"stream_id": name})
                self._call("POST", "/events/stream_started", 202, json.dumps(body))
                self.started.append(name)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.errors.append(repr(error))
                self._connection.close()
        self._connection.close()

    def _call(self, method: str, path: str, expected: int, body: str | None = None) -> None:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read()
        assert response.status == expected, text
        self.answers += 1


_CONNECTING = """
import asyncio, socket
from pathlib import Path
from acekeeper.server import EventLoop

async def connect():
    with socket.create_server(("127.0.0.1", 0)) as far, socket.socket() as near:
        near.setblocking(False)
        await asyncio.get_running_loop().sock_connect(near, far.getsockname())

with asyncio.Runner(loop_factory=EventLoop) as runner:
    runner.run(connect())
print(*(name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")), sep=",")
"""


def test_no_thread_is_asked_for_an_address_to_connect_to() -> None:
    """In a process of its own, as such threads stay once they are there."""
    told = subprocess.run([sys.executable, "-c", _CONNECTING], check=True, stdout=subprocess.PIPE)
    assert len(told.stdout.split(b",")) == 1


def test_a_restart_costs_no_caller_its_answer(tmp_path: Path, held: socket.socket) -> None:
    port = held.getsockname()[1]
    environ = settings(tmp_path, APP_PORT=str(port))
    services = [Service(environ, tmp_path, held)]
    try:
        with calling(port) as clients:
            _each_is_answered(clients)
            assert services[0].end(signal.SIGTERM).status == 0
            services.append(Service(environ, tmp_path, held))
            _each_is_answered(clients)
        assert [error for client in clients for error in client.errors] == []
        kept = {stream["id"] for stream in call(load(environ), "GET", "/streams")}
        assert kept == {name for client in clients for name in client.started}
    finally:
        for service in services:
            service.kill()


def test_what_is_no_http_gets_the_same_headers_and_shape(
    tmp_path: Path, held: socket.socket
) -> None:
    port = held.getsockname()[1]
    service = Service(settings(tmp_path, APP_PORT=str(port)), tmp_path, held)
    try:
        for request in (b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection:
                connection.sendall(request)
                response = http.client.HTTPResponse(connection)
                response.begin()
                assert response.status == 400
                assert response.headers["Content-Type"] == "application/json"
                assert response.headers["X-RateLimit-Provisioning-Limit"] == "5"
                assert response.headers["X-RateLimit-Provisioning-Remaining"] == "5"
                assert response.headers["X-Request-ID"]
                assert isinstance(json.loads(response.read())["detail"], str)
                assert connection.recv(1) == b""  # it hangs up
                response.close()
    finally:
        service.kill()


@contextmanager
def calling(port: int) -> Iterator[list[Client]]:
    clients = [Client(port, n) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.enough.set()
        for client in clients:
            client.join(LIMIT_S)


def _each_is_answered(clients: list[Client]) -> None:
    """Again, from now on."""
    before = [client.answers for client in clients]
    until(lambda: all(c.answers > n for c, n in zip(clients, before, strict=True)))


@asynccontextmanager
async def serving(
    app: Any,
    held: socket.socket,
    leaving: Callable[[], object] = bool,
    unheard: Callable[[int, str], bytes] = lambda _, why: why.encode(),
    once: bool = False,
    **config: Any,
) -> AsyncIterator[Server]:
    listening = asyncio.Event()
    server = Server(app, listening.set, unheard, HEAD_WITHIN_S, leaving, once=once)
    for name, value in config.items():
        setattr(server.config, name, value)
    task = asyncio.create_task(server.serve([held.dup()]))
    await asyncio.wait_for(listening.wait(), LIMIT_S)
    try:
        yield server
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, LIMIT_S)


class Caller:
    """One connection, so that a test sees what is said of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, held: socket.socket) -> "Caller":
        return cls(*await asyncio.open_connection(*held.getsockname()))

    def ask(self, path: str = "/engines") -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def headers(self) -> str:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), LIMIT_S)
        return head.decode().lower()

    async def ends(self) -> bool:
        rest = await asyncio.wait_for(self.reader.read(), LIMIT_S)
        self.writer.close()
        return b"HTTP" not in rest


class Slow:
    """An application whose answers come when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP
        assert callable(receive)
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def stops_listening(server: Server) -> None:
    async with asyncio.timeout(LIMIT_S):
        while any(listener.is_serving() for listener in server.servers):
            await asyncio.sleep(0.01)


async def test_while_it_drains_every_answer_closes_its_connection(
    tmp_path: Path, held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acekeeper.server._STILL_COMING_S", 1.0)  # this test may be slow
    given = load(settings(tmp_path))
    async with service(given, int) as context:
        draining: Callable[[], bool] = lambda: server.should_exit  # noqa: E731
        async with serving(api(given, context, True, draining), held) as server:
            caller = await Caller.to(held)
            caller.ask()
            assert "connection: close" not in await caller.headers()
            await caller.reader.readexactly(2)  # []
            server.handle_exit(signal.SIGTERM, None)
            await stops_listening(server)
            caller.ask()  # it had no way to know
            headers = await caller.headers()
            assert headers.startswith("http/1.1 200")
            assert "connection: close" in headers
            assert await caller.ends()


async def test_while_the_machine_stands_still_nobody_is_hung_up_on(held: socket.socket) -> None:
    """Who had no time to ask, for it stood still for them too."""
    app = Slow()
    app.go_on.set()
    async with serving(app, held) as server:
        caller = await Caller.to(held)
        caller.ask()
        assert (await caller.headers()).startswith("http/1.1 200")
        await caller.reader.readexactly(len(b"0\r\n\r\n"))  # its body
        server.handle_exit(signal.SIGTERM, None)
        await stops_listening(server)
        time.sleep(0.5)  # noqa: ASYNC251 (longer than is waited for what still comes)
        for _ in range(5):  # turns of the loop, in which it might be hung up on
            await asyncio.sleep(0)
        caller.ask()
        assert (await caller.headers()).startswith("http/1.1 200")
        caller.writer.close()


async def test_what_is_being_answered_at_the_end_is_answered(held: socket.socket) -> None:
    app = Slow()
    async with serving(app, held) as server:
        caller = await Caller.to(held)
        caller.ask()
        await asyncio.wait_for(app.asked.wait(), LIMIT_S)
        server.handle_exit(signal.SIGTERM, None)
        await stops_listening(server)
        app.go_on.set()
        assert (await caller.headers()).startswith("http/1.1 200")
        assert await caller.ends()


async def test_a_caller_who_leaves_within_its_body_is_no_failure_of_ours(
    tmp_path: Path, held: socket.socket
) -> None:
    given = load(settings(tmp_path))
    async with service(given, int) as context, serving(api(given, context, True, bool), held):
        caller = await Caller.to(held)
        caller.writer.write(
            b"POST /events/stream_ended HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        caller.writer.close()
        async with asyncio.timeout(LIMIT_S):
            while b'endpoint="/events/stream_ended"' not in (
                said := b"".join(context.metrics.exposition())
            ):
                await asyncio.sleep(0.01)
        answered = re.findall(rb'status="(\d+)"\} ([1-9])', said)
        assert answered == [(b"400", b"1")]


async def test_a_head_that_does_not_come_is_not_waited_for(
    tmp_path: Path, held: socket.socket
) -> None:
    given = load(settings(tmp_path))
    async with service(given, int) as context:
        app = api(given, context, True, bool)
        async with serving(app, held, unheard=app.unheard):
            caller = await Caller.to(held)
            caller.writer.write(b"GET /engines HTTP/1.1\r\nHost: local")
            headers = await caller.headers()
            assert headers.startswith("http/1.1 408 request timeout")
            assert "x-request-id" in headers
            assert b"0.2 s of API_REQUEST_TIMEOUT_S" in await caller.reader.read()
            caller.writer.close()
        counted = b"".join(context.metrics.exposition()).decode()
        series = 'orch_communication_errors_total{error_type="timeout",source="api"}'
        assert f"{series} 1.0" in counted


async def test_who_never_asks_is_not_kept(
    held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acekeeper.server._KEEP_ALIVE_S", HEAD_WITHIN_S)
    async with serving(Slow(), held):
        caller = await Caller.to(held)
        assert await caller.ends()


async def test_only_the_head_has_so_little_time(held: socket.socket) -> None:
    app = Slow()
    async with serving(app, held):
        caller = await Caller.to(held)
        caller.writer.write(b"GET / HTTP/1.1\r\nHost: ")
        await caller.writer.drain()
        caller.writer.write(b"localhost\r\n\r\n")
        await asyncio.wait_for(app.asked.wait(), LIMIT_S)
        late = await Caller.to(held)  # by the time it is late, so would the first one be
        late.writer.write(b"GET / HTTP/1.1\r\n")
        assert await asyncio.wait_for(late.reader.read(), LIMIT_S)
        late.writer.close()
        app.go_on.set()
        assert (await caller.headers()).startswith("http/1.1 200")
        caller.writer.close()


async def test_an_answer_nobody_takes_is_cut(
    held: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    failed = asyncio.Event()

    async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})

    bounded: Any = deadline(endless, all_within(0.2), all_within(0.2), lambda *_: failed.set())

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        route = {"route_handler": SimpleNamespace(opt={}), "path_template": "/"}
        await bounded(scope | route, receive, send)

    async with serving(app, held):
        caller = await Caller.to(held)
        caller.ask()
        await asyncio.wait_for(failed.wait(), LIMIT_S)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(LIMIT_S):
                while await caller.reader.read(100_000):
                    pass
        caller.writer.close()
    assert caplog.records == []


async def test_an_answer_without_an_end_does_not_hold_up_the_end(held: socket.socket) -> None:
    app = Slow()
    async with serving(app, held, timeout_graceful_shutdown=0.1) as server:
        caller = await Caller.to(held)
        caller.ask()
        await asyncio.wait_for(app.asked.wait(), LIMIT_S)
        server.handle_exit(signal.SIGTERM, None)
    assert app.cancelled
    caller.writer.close()


async def test_who_connects_meanwhile_is_answered_by_the_next(held: socket.socket) -> None:
    first, second = Slow(), Slow()
    second.go_on.set()
    async with serving(first, held):
        pass
    caller = await Caller.to(held)
    caller.ask()
    async with serving(second, held):
        assert (await caller.headers()).startswith("http/1.1 200")
        caller.writer.close()
    assert not first.asked.is_set()


async def test_one_signal_ends_both_servers_and_each_has_its_own_places(
    held: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acekeeper.server.most_callers", lambda: 2)
    players, api = Slow(), Slow()
    api.go_on.set()
    with closing(bind("127.0.0.1", free_port())[0]) as of_players:
        listening = asyncio.Event()
        servers = [
            (
                Server(players, lambda: None, lambda _, why: why.encode(), LIMIT_S),
                [of_players.dup()],
            ),
            (Server(api, listening.set, lambda _, why: why.encode(), LIMIT_S), [held.dup()]),
        ]
        serving = asyncio.create_task(serve_until_told(servers))
        await asyncio.wait_for(listening.wait(), LIMIT_S)
        waiting = [await Caller.to(of_players) for _ in range(2)]
        for player in waiting:
            players.asked.clear()
            player.ask()
            await asyncio.wait_for(players.asked.wait(), LIMIT_S)
        refused = await Caller.to(of_players)
        assert b"too many connections" in await asyncio.wait_for(refused.reader.read(), LIMIT_S)
        caller = await Caller.to(held)
        caller.ask()
        assert (await caller.headers()).startswith("http/1.1 200")
        os.kill(os.getpid(), signal.SIGTERM)
        for server, _ in servers:
            await stops_listening(server)
        players.go_on.set()
        for player in waiting:
            assert (await player.headers()).startswith("http/1.1 200")
        await asyncio.wait_for(serving, LIMIT_S)
        for one in (*waiting, refused, caller):
            one.writer.close()


def test_a_taken_port_is_named_with_what_to_do(held: socket.socket) -> None:
    port = held.getsockname()[1]
    with pytest.raises(BadSetting, match=rf"APP_PORT={port}.*ss -ltnp sport = :{port}"):
        bind("127.0.0.1", port)


def test_an_address_this_machine_has_not_is_named() -> None:
    with pytest.raises(BadSetting, match=r"APP_HOST=192\.0\.2\.1 .*cannot listen there"):
        bind("192.0.2.1", free_port())


def test_a_port_just_left_can_be_had_again(held: socket.socket) -> None:
    """Although its connections linger."""
    port = held.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        ours, _ = held.accept()
        ours.close()  # who closes first is left with the lingering end
        client.recv(1)
    held.close()
    bind("127.0.0.1", port)[0].close()


def test_localhost_is_both_addresses_or_neither() -> None:
    port = free_port()
    sockets = bind("localhost", port)
    assert [s.getsockname()[:2] for s in sockets] == [("127.0.0.1", port), ("::1", port)]
    assert are_loopback(sockets)
    sockets[0].close()
    with pytest.raises(BadSetting, match="APP_HOST=::1"):
        bind("localhost", port)
    sockets[1].close()
    with closing(bind("127.0.0.1", port)[0]):  # nothing was left behind
        pass


def test_without_ipv6_localhost_is_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "AF_INET6", socket.AF_UNSPEC)  # no machine here is without it
    sockets = bind("localhost", free_port())
    with closing(sockets[0]):
        assert [s.getsockname()[0] for s in sockets] == ["127.0.0.1"]


def test_an_address_others_can_reach_is_no_loopback() -> None:
    port = free_port()
    for host in ("0.0.0.0", "::"):
        [bound] = bind(host, port)
        with bound:
            assert not are_loopback([bound])
            assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)

"""What a player's request passes, in front of a handler that a test holds."""

import asyncio
import contextlib
import ipaddress
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from acekeeper.gateway.door import HLS, JSON, TEXT, TS, Answer, Call, Door, Route, text
from acekeeper.listening import bind
from acekeeper.server import Server

from ..ports import free_port
from ..running import LIMIT_S
from ..test_server import serving, stops_listening

ID = "0123456789abcdef0123456789abcdef01234567"
AS_AN_ENGINE = {
    "access-control-allow-origin": "*",
    "cache-control": "no-store",
    "connection": "close",
}


class Playing:
    """The routes: what they were asked, and an answer when the test says so."""

    def __init__(self, answer: Answer | None = text(200, "played")) -> None:  # noqa: B008
        self.answer = answer
        self.calls: list[Call] = []
        self.told: list[tuple[str, int]] = []
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.gave_back = asyncio.Event()
        self.lost: list[str] = []

    async def __call__(self, call: Call) -> Answer | None:
        self.calls.append(call)
        call.if_gone.append(lambda: self.lost.append(call.path))
        self.asked.set()
        try:
            await self.go_on.wait()
            return self.answer
        finally:
            self.gave_back.set()

    def door(self, *allowed: str) -> Door:
        routes = {
            "/ace/getstream": Route(self, TS),
            "/ace/m/": Route(self, HLS),
            "/server/api": Route(self, JSON),
        }
        networks = [ipaddress.ip_network(network) for network in allowed]
        return Door(routes, networks, lambda path, status, _: self.told.append((path, status)))


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with closing(bind("127.0.0.1", free_port())[0]) as held:
        yield held


@asynccontextmanager
async def open_to(
    playing: Playing, held: socket.socket, leaving: Callable[[], object] = bool
) -> AsyncIterator[Server]:
    door = playing.door()
    async with serving(door, held, leaving, unheard=door.unheard, once=True) as server:
        yield server


class Player:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, held: socket.socket, host: str = "127.0.0.1") -> "Player":
        return cls(*await asyncio.open_connection(host, held.getsockname()[1]))

    def send(self, request: bytes) -> None:
        self.writer.write(request)

    async def has_waited(self, seconds: float) -> None:
        """For so long by the kernel's clock, since it sent its request."""
        connection = self.writer.get_extra_info("socket")
        async with asyncio.timeout(LIMIT_S):
            while _since_data_was_sent(connection) < seconds:
                await asyncio.sleep(0.01)

    async def all(self) -> tuple[bytes, dict[str, str], bytes]:
        """Status line, headers and body; the connection ends with them."""
        said = await asyncio.wait_for(self.reader.read(), LIMIT_S)
        self.writer.close()
        head, _, body = said.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        pairs = (line.decode().split(": ", 1) for line in lines)
        return status, {name.lower(): value for name, value in pairs}, body


def _since_data_was_sent(connection: socket.socket) -> float:
    """Seconds: `tcpi_last_data_sent` of the kernel."""
    kernel = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 48)
    milliseconds: int = struct.unpack_from("=I", kernel, 44)[0]
    return milliseconds / 1000


async def ask(held: socket.socket, request: bytes) -> tuple[bytes, dict[str, str], bytes]:
    player = await Player.to(held)
    player.send(request)
    return await player.all()


def get(target: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: elsewhere.example", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def test_a_handler_is_told_what_was_asked_from_where_and_to_where(
    held: socket.socket,
) -> None:
    playing = Playing()
    port = held.getsockname()[1]
    async with open_to(playing, held):
        target = f"/ace/getstream?id={ID}&a=1%262&a=3&empty=&pid=%C3%A9"
        status, headers, body = await ask(
            held, get(target, "Range: bytes=0-", "X-Forwarded-For: 192.0.2.9")
        )
    assert status == b"HTTP/1.1 200 OK"
    assert body == b"played"
    assert headers.items() >= {**AS_AN_ENGINE, "content-type": TEXT, "content-length": "6"}.items()
    [call] = playing.calls
    assert call.path == "/ace/getstream"
    assert call.query == {"id": ID, "a": "1&2", "empty": "", "pid": "é"}
    assert call.raw_query == target.partition("?")[2]
    assert call.player == "127.0.0.1"
    assert call.arrival == ("127.0.0.1", port)  # whatever Host says
    assert call.headers[b"range"] == b"bytes=0-"
    assert call.headers[b"x-forwarded-for"] == b"192.0.2.9"  # which says nothing of the player
    assert playing.told == [("/ace/getstream", 200)]


async def test_who_came_before_the_service_did_has_waited(held: socket.socket) -> None:
    playing = Playing()
    before = await Player.to(held)
    before.send(get("/ace/getstream"))
    await before.has_waited(0.1)
    async with open_to(playing, held):
        await before.all()
        began = time.monotonic()
        await ask(held, get("/ace/getstream"))
        took = time.monotonic() - began
    assert playing.calls[0].waited >= 0.09
    assert playing.calls[1].waited <= took + 0.01


async def test_the_address_of_arrival_is_the_one_the_player_connected_to() -> None:
    playing = Playing()
    with closing(socket.create_server(("0.0.0.0", free_port()))) as everywhere:
        async with open_to(playing, everywhere):
            for host in ("127.0.0.1", "127.0.0.2"):
                player = await Player.to(everywhere, host)
                player.send(get("/ace/getstream"))
                await player.all()
    assert [call.arrival[0] for call in playing.calls] == ["127.0.0.1", "127.0.0.2"]


async def test_an_address_written_for_both_families_is_told_as_the_one_it_is() -> None:
    playing = Playing()
    both = socket.create_server(("::", free_port()), family=socket.AF_INET6, dualstack_ipv6=True)
    with closing(both):
        async with open_to(playing, both):
            await ask(both, get("/ace/getstream"))
    assert (playing.calls[0].player, playing.calls[0].arrival[0]) == ("127.0.0.1", "127.0.0.1")


async def asked_from(door: Door, peer: str) -> int:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/ace/getstream",
        "raw_path": b"/ace/getstream",
        "query_string": b"",
        "headers": [],
        "client": (peer, 50000),
        "server": ("198.51.100.1", 6878),
    }
    await door(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.9.10", 200),
        ("::1", 200),
        ("198.51.100.1", 200),  # at its own address beyond loopback
        ("::ffff:198.51.100.1", 200),
        ("192.0.2.9", 200),
        ("::ffff:192.0.2.9", 200),
        ("2001:db8::9", 200),
        ("192.0.3.9", 403),
        ("::ffff:192.0.3.9", 403),
        ("2001:db9::9", 403),
        ("fe80::9%eth0", 403),
    ],
)
async def test_only_this_host_and_networks_that_are_allowed_may_enter(
    peer: str, status: int
) -> None:
    playing = Playing()
    assert await asked_from(playing.door("192.0.2.0/24", "2001:db8::/32"), peer) == status
    assert len(playing.calls) == (status == 200)


async def test_what_is_not_here_is_answered_as_an_engine_does(held: socket.socket) -> None:
    playing = Playing()
    expected = [
        ("GET", "/", 404, b"Not Found"),
        ("GET", "/engines", 404, b"Not Found"),
        ("GET", "/ace/m", 404, b"Not Found"),
        ("GET", "/ace/getstream/", 404, b"Not Found"),
        ("POST", "/ace/getstream", 501, b"Unsupported method"),
        ("OPTIONS", "/engines", 501, b"Unsupported method"),
        ("GET", "/ace/getstream?" + "&" * 64, 400, b"The request has more than 64 parameters"),
        ("GET", "/ace/getstream?id=" + "a" * 8192, 414, b"The request is longer than 8192 bytes"),
    ]
    async with open_to(playing, held):
        for method, target, code, words in expected:
            status, headers, body = await ask(held, get(target, method=method))
            assert (int(status.split()[1]), body) == (code, words), target
            assert headers.items() >= {**AS_AN_ENGINE, "content-type": TEXT}.items()
    assert playing.calls == []
    assert playing.told[:1] == [("unmatched", 404)]


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (f"/ace/getstream?id={ID}", TS),
        (f"/ace/getstream?id={ID}&format=json", JSON),
        (f"/ace/m/{ID}/token.m3u8", HLS),
        ("/server/api", JSON),
    ],
)
async def test_a_head_names_the_type_and_asks_nobody(
    held: socket.socket, target: str, kind: str
) -> None:
    playing = Playing()
    async with open_to(playing, held):
        status, headers, body = await ask(held, get(target, method="HEAD"))
        assert (await ask(held, get("/ace", method="HEAD")))[0].split()[1] == b"404"
    assert (status, body) == (b"HTTP/1.1 200 OK", b"")
    assert headers["content-type"] == kind
    assert not headers.keys() & {"location", "content-length", "transfer-encoding"}
    assert playing.calls == []


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /ace/getstream HTTP/1.0\r\n\r\n",
        b"GET /ace/getstream HTTP/1.0\r\nConnection: keep-alive\r\nRange: bytes=0-\r\n\r\n",
        b"GET /ace/getstream HTTP/1.1\r\n\r\n",
        b"GET /ace/getstream HTTP/1.1\r\nUser-Agent: \xe9\xff odd / 1\r\nIcy-MetaData: 1\r\n\r\n",
        b"GET http://elsewhere.example:6878/ace/getstream HTTP/1.1\r\n\r\n",
        b"GET /ace/getstream HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /ace/getstream HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
async def test_any_player_is_understood(held: socket.socket, request_: bytes) -> None:
    async with open_to(Playing(), held):
        status, _, body = await ask(held, request_)
    assert (status.split()[1], body) == (b"200", b"played")


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        get("/ace/getstream"),
        get("/ace/getstream") * 1000,
        b"garbage\r\n\r\n",
    ],
    ids=["nothing", "one more", "many more", "garbage"],
)
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_player_that_hangs_up_gives_everything_back(
    held: socket.socket, version: bytes, behind: bytes
) -> None:
    playing = Playing()
    playing.go_on.clear()
    async with open_to(playing, held):
        player = await Player.to(held)
        player.send(b"GET /ace/getstream " + version + b"\r\n\r\n" + behind)
        await asyncio.wait_for(playing.asked.wait(), LIMIT_S)
        assert not playing.gave_back.is_set()
        player.writer.close()
        await asyncio.wait_for(playing.gave_back.wait(), LIMIT_S)
        async with asyncio.timeout(LIMIT_S):
            while not playing.told:
                await asyncio.sleep(0.01)
    assert playing.told == [("/ace/getstream", 0)]
    assert playing.lost == ["/ace/getstream"]
    assert len(playing.calls) == 1


async def test_a_connection_carries_one_request(held: socket.socket) -> None:
    playing = Playing()
    async with open_to(playing, held):
        _, _, body = await ask(held, get("/ace/getstream") + get("/server/api"))
    assert body == b"played"  # and nothing behind it
    assert len(playing.calls) == 1


async def test_a_connection_can_be_closed_without_an_answer(held: socket.socket) -> None:
    playing = Playing(answer=None)
    async with open_to(playing, held):
        player = await Player.to(held)
        player.send(get("/ace/getstream"))
        said = b""
        with contextlib.suppress(ConnectionResetError):
            said = await asyncio.wait_for(player.reader.read(), LIMIT_S)
        player.writer.close()
    assert said == b""
    assert playing.told == [("/ace/getstream", 0)]


async def test_a_handler_that_fails_is_told_in_the_log_and_not_to_the_player(
    held: socket.socket,
) -> None:
    async def failing(_: Call) -> Answer:
        raise RuntimeError("a defect")

    logged: list[Any] = []
    number = logger.add(lambda message: logged.append(message.record))
    door = Door({"/server/api": Route(failing, JSON)}, ())
    async with serving(door, held, unheard=door.unheard, once=True):
        status, _, body = await ask(held, get("/server/api"))
    logger.remove(number)
    assert (status.split()[1], body) == (b"500", b"Internal Server Error")
    failed = [record for record in logged if record["message"] == "request_failed"]
    assert [str(record["exception"].value) for record in failed] == ["a defect"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"garbage\r\n\r\n", b"400"),
        (b"GET /ace/getstream HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
        (b"GET /ace/getstream\xff HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /ace/getstream HTTP/1.1\r\n", b"408"),
        (b"GET /" + b"a" * 70_000, b"431"),
    ],
)
async def test_what_is_no_http_is_answered_in_the_same_form(
    held: socket.socket, request_: bytes, status: bytes
) -> None:
    playing = Playing()
    async with open_to(playing, held):
        line, headers, body = await ask(held, request_)
    assert line.split()[1] == status
    assert headers.items() >= {**AS_AN_ENGINE, "content-type": TEXT}.items()
    assert int(headers["content-length"]) == len(body) > 0
    assert playing.calls == []


async def test_who_waits_at_a_stop_is_told_after_nobody_is_let_in(held: socket.socket) -> None:
    playing = Playing(Answer(status=302, headers={"Location": "http://127.0.0.1:6878/again"}))
    playing.go_on.clear()
    seen: list[bool] = []

    def leaving() -> None:
        seen.append(any(listener.is_serving() for listener in server.servers))
        playing.go_on.set()

    async with open_to(playing, held, leaving) as server:
        waiting, idle = await Player.to(held), await Player.to(held)
        waiting.send(get("/ace/getstream"))
        await asyncio.wait_for(playing.asked.wait(), LIMIT_S)
        server.handle_exit(signal.SIGTERM, None)
        status, headers, _ = await waiting.all()
        assert status == b"HTTP/1.1 302 Found"
        assert headers["location"] == "http://127.0.0.1:6878/again"
        assert headers["connection"] == "close"
        await stops_listening(server)
        late = await Player.to(held)  # it waits in the socket for the next
        late.send(get("/ace/getstream"))
        assert await asyncio.wait_for(idle.reader.read(), LIMIT_S) == b""
        idle.writer.close()
    assert seen == [False]
    playing.answer = text(200, "by the next")
    async with open_to(playing, held):
        assert (await late.all())[2] == b"by the next"


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_any_query_is_read_or_refused(query: str) -> None:
    door = Playing().door()
    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/ace/getstream",
        "raw_path": b"/ace/getstream",
        "query_string": query.encode(),
        "headers": [],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 6878),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(door(scope, receive, send))
    assert sent[0]["status"] in (200, 400)

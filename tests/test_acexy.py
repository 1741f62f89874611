"""The stand-in for the plain Acexy plays from an engine as the real one does."""

import http.client
import json
import select
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from .acexy import Acexy, engine, proxy
from .acexy.connections import Connections, cut
from .acexy.engine import Engine, Refused
from .emulator.running import CONTENT, LIMIT_S, Emulator, are_silent, until

BLOCK = 64 << 10  # in place of 4 MiB
SHORT_S = 0.3  # in place of ten seconds


class Viewer:
    """Has asked Acexy for a content."""

    def __init__(self, acexy: Acexy, content: str) -> None:
        self._client = connected(acexy)
        self._client.request("GET", f"/ace/getstream?id={content}")
        self._socket = self._client.sock

    def answer(self) -> http.client.HTTPResponse:
        return self._client.getresponse()

    def gets(self, size: int) -> http.client.HTTPResponse:
        response = self.answer()
        assert response.status == 200
        assert len(response.read(size)) == size
        return response

    def has_bytes(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        cut(self._socket)
        self._client.close()


Watch = Callable[[str], Viewer]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with ExitStack() as stack:
        emulator = Emulator("--start-delay", "0")
        stack.callback(emulator.end)
        yield emulator.ready()


@pytest.fixture
async def acexy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Acexy]:
    monkeypatch.setattr(proxy, "BLOCK", BLOCK)
    async with Acexy(engine=f"127.0.0.1:{emulator.port}") as acexy:
        yield acexy


@pytest.fixture
def watch(acexy: Acexy) -> Iterator[Watch]:
    with ExitStack() as stack:
        yield lambda content: stack.enter_context(closing(Viewer(acexy, content)))


def connected(acexy: Acexy) -> http.client.HTTPConnection:
    address = urlsplit(acexy.url)
    assert address.hostname
    return http.client.HTTPConnection(address.hostname, address.port, timeout=LIMIT_S)


def asked(acexy: Acexy, target: str) -> tuple[int, bytes]:
    with closing(connected(acexy)) as client:
        client.request("GET", target)
        answer = client.getresponse()
        return answer.status, answer.read()


def streams(acexy: Acexy) -> int:
    number: int = json.loads(asked(acexy, "/ace/status")[1])["streams"]
    return number


def clients(acexy: Acexy) -> int:
    number: int = json.loads(asked(acexy, f"/ace/status?id={CONTENT}")[1])["clients"]
    return number


def counted(emulator: Emulator, *names: str) -> list[int]:
    counters = emulator.admin("GET", "/counters").json
    return [counters[name] for name in names]


def ends_well(emulator: Emulator) -> None:
    """One session was opened, stopped once, and nothing is left."""
    until(lambda: counted(emulator, "sessions_stopped", "sessions", "readers") == [1, 0, 0])
    assert counted(emulator, "sessions_opened", "unknown_stops") == [1, 0]


async def test_viewers_share_a_session_until_the_last_one_leaves(
    emulator: Emulator, acexy: Acexy, watch: Watch
) -> None:
    first = watch(CONTENT)
    with first.gets(BLOCK):
        second = watch(CONTENT)
        with second.gets(BLOCK):
            assert clients(acexy) == 2
            first.close()
            until(lambda: clients(acexy) == 1)
            assert counted(emulator, "readers_started", "sessions_stopped") == [1, 0]
            second.close()
    ends_well(emulator)
    assert streams(acexy) == 0


async def test_two_at_once_open_two_sessions(emulator: Emulator, watch: Watch) -> None:
    emulator.fault("slow_getstream", amount=SHORT_S)
    viewers = [watch(CONTENT), watch(CONTENT)]
    for viewer in viewers:
        viewer.answer()
    assert counted(emulator, "sessions_opened", "sessions_superseded") == [2, 1]


async def test_a_viewer_that_leaves_too_early_stops_nothing_before_its_time(
    emulator: Emulator, watch: Watch
) -> None:
    emulator.fault("slow_getstream", amount=SHORT_S)
    watch(CONTENT).close()
    until(lambda: counted(emulator, "readers_started") == [1])
    ends_well(emulator)


@pytest.mark.parametrize("fault", ["load_fails", "bool_is_live", "html", "bad_json"])
async def test_what_getstream_refuses_is_a_500(
    emulator: Emulator, watch: Watch, fault: str
) -> None:
    emulator.fault(fault)
    answer = watch(CONTENT).answer()
    assert (answer.status, answer.read(23)) == (500, b"Failed to start stream:")
    assert counted(emulator, "readers_started") == [0]


async def test_the_status_of_playback_is_not_read(emulator: Emulator, watch: Watch) -> None:
    emulator.fault("not_found")
    answer = watch(CONTENT).answer()
    assert (answer.status, answer.read()) == (200, b"")
    ends_well(emulator)


async def test_what_is_no_http_is_a_500(emulator: Emulator, watch: Watch) -> None:
    session = emulator.open(CONTENT)
    with closing(emulator.read(session)) as reader:
        assert reader.take(1)
        with pytest.raises(http.client.HTTPException, match="malformed"):
            Engine(Connections()).play(session["playback_url"])


async def test_getstream_has_its_time_in_all(
    emulator: Emulator, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "ANSWER_S", SHORT_S)
    emulator.fault("hang_getstream")
    answer = watch(CONTENT).answer()
    assert (answer.status, answer.read()) == (500, b"Failed to start stream: timed out\n")


async def test_the_headers_of_playback_have_their_time_and_then_it_is_stopped(
    emulator: Emulator, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "HEADERS_S", SHORT_S)
    emulator.fault("hang_read")
    answer = watch(CONTENT).answer()
    assert (answer.status, answer.read()) == (500, b"Failed to start stream: timed out\n")
    ends_well(emulator)


async def test_a_stop_that_hangs_holds_everything_up_and_leaves_the_reader(
    emulator: Emulator, acexy: Acexy, watch: Watch
) -> None:
    emulator.fault("hang_stat")
    viewer = watch(CONTENT)
    with viewer.gets(BLOCK):
        asked_before = counted(emulator, "requests")[0]
        viewer.close()
    until(lambda: counted(emulator, "requests") == [asked_before + 1])
    with closing(connected(acexy)) as other:
        other.request("GET", "/ace/status")
        assert are_silent(other.sock)
    assert streams(acexy) == 0
    assert counted(emulator, "readers", "sessions_stopped") == [1, 0]


async def test_only_so_many_connections_go_to_one_address(emulator: Emulator, watch: Watch) -> None:
    viewers = [watch(f"{number:040x}") for number in range(11)]

    def without_bytes() -> list[Viewer]:
        return [viewer for viewer in viewers if not viewer.has_bytes()]

    until(lambda: counted(emulator, "sessions_opened", "readers") == [11, 10])
    until(lambda: len(without_bytes()) == 1)
    assert counted(emulator, "readers_started") == [10]
    [waiting] = without_bytes()
    next(viewer for viewer in viewers if viewer is not waiting).close()
    waiting.gets(BLOCK).close()


class _Moved(BaseHTTPRequestHandler):
    """`/2` leads to `/1`, and that to `/0`, which is there."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        left = int(self.path[1:])
        self.send_response(302 if left else 200)
        if left:
            self.send_header("Location", f"/{left - 1}")
        self.end_headers()


def test_ten_requests_follow_one_another_at_most() -> None:
    connections = Connections()
    with ThreadingTCPServer(("127.0.0.1", 0), _Moved) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        url = "http://{}:{}".format(*server.server_address[:2])
        Engine(connections).play(f"{url}/9").close()
        assert Engine(connections).ask(f"{url}/9", LIMIT_S) == b""
        with pytest.raises(Refused, match="10 redirects"):
            Engine(connections).play(f"{url}/10")
        server.shutdown()


async def test_closing_cuts_and_stops_nothing(emulator: Emulator) -> None:
    async with Acexy(f"127.0.0.1:{emulator.port}") as acexy:
        viewer = Viewer(acexy, CONTENT)
        response = viewer.gets(BLOCK)
    with closing(viewer), response, pytest.raises((http.client.HTTPException, OSError)):
        response.read()
    until(lambda: counted(emulator, "readers") == [0])
    assert counted(emulator, "sessions", "sessions_stopped") == [1, 0]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/ace/getstream", 400),
        (f"/ace/getstream?id={CONTENT}&infohash={CONTENT}", 400),
        (f"/ace/getstream?id={CONTENT}&pid=1", 400),
        ("/ace/manifest.m3u8", 404),
        (f"/ace/status?id={CONTENT}", 404),
    ],
)
async def test_what_it_refuses_reaches_no_engine(
    emulator: Emulator, acexy: Acexy, target: str, status: int
) -> None:
    assert asked(acexy, target)[0] == status
    assert counted(emulator, "requests") == [0]

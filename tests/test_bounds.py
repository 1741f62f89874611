"""The service among callers who send without end, take nothing, or only connect."""

import http.client
import json
import os
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from .api.bodies import started
from .running import LIMIT_S, Service, settings, until

MIB = 1024 * 1024
HOST = b"Host: localhost\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"
CHUNKED = JSON + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = HOST + b"Content-Length: 1000000000\r\n\r\n"
A = bytes(65536).replace(b"\0", b"a")
# What opens a request, what goes on and on, and the status it is answered with.
FLOODS = {
    "many headers": (b"GET /engines HTTP/1.1\r\n" + HOST, b"a: b\r\n" * 10922, 431),
    "one header": (b"GET /engines HTTP/1.1\r\nX: ", A, 431),
    "one name": (b"GET /engines HTTP/1.1\r\n", A, 431),
    "one target": (b"GET /", A, 431),
    "one query": (b"GET /engines?", A, 431),
    "empty lines": (b"", b"\r\n" * 32768, 431),
    "spaces": (b"GET /engines HTTP/1.1\r\nX:", b" " * 65536, 431),
    "folded lines": (b"GET /engines HTTP/1.1\r\nX: a\r\n", b" a\r\n" * 16384, 400),
    "an extension of a chunk": (b"POST /events/batch HTTP/1.1\r\n" + CHUNKED + b"1;", A, 431),
    "extensions of chunks": (
        b"POST /events/batch HTTP/1.1\r\n" + CHUNKED,
        (b"1;" + b"a" * 4000 + b"\r\n[\r\n") * 16,
        431,
    ),
    "trailers": (
        b"POST /events/batch HTTP/1.1\r\n" + CHUNKED + b"1\r\n[\r\n0\r\n",
        b"a: b\r\n" * 10922,
        431,
    ),
    "chunks of a byte": (b"POST /gc HTTP/1.1\r\n" + CHUNKED, b"1\r\n[\r\n" * 10922, 200),
    "a long body": (b"POST /events/batch HTTP/1.1\r\n" + CHUNKED, b"10000\r\n" + A + b"\r\n", 413),
    "a length too long": (
        b"POST /events/batch HTTP/1.1\r\n" + JSON + b"Content-Length: 1000000000\r\n\r\n",
        A,
        413,
    ),
    "a body of GET": (b"GET /engines HTTP/1.1\r\n" + ENDLESS, A, 200),
    "a body of HEAD": (b"HEAD /engines HTTP/1.1\r\n" + ENDLESS, A, 200),
    "a body of no route": (b"POST /absent HTTP/1.1\r\n" + ENDLESS, A, 404),
    "a body of no method": (b"PUT /engines HTTP/1.1\r\n" + ENDLESS, A, 405),
    "a body of a follower": (b"GET /log/live HTTP/1.1\r\n" + ENDLESS, A, 200),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path = tmp_path_factory.mktemp("service")
    service = Service(settings(path), path)
    try:
        service.wait_for("serving")
        yield service
    finally:
        service.kill()


@pytest.mark.parametrize("name", FLOODS)
def test_what_has_no_end_is_ended(service: Service, name: str) -> None:
    opening, piece, status = FLOODS[name]
    assert answered(service) == 200  # whatever that needs for the first time
    with measured(service) as work, connected(service) as flooding:
        with suppress(ConnectionError):
            flooding.sendall(opening)
            for _ in range(64 * MIB // len(piece)):
                flooding.sendall(piece)
        assert said(flooding).startswith(b"HTTP/1.1 %d " % status)
    assert work.memory < 16 * MIB
    assert work.seconds < 1.5
    assert answered(service) == 200


@pytest.mark.parametrize("more", [0, 1])
def test_the_bound_of_a_head_is_exact(service: Service, more: int) -> None:
    """For each of the requests on a connection."""
    head = b"GET /engines HTTP/1.1\r\n" + HOST + b"X: %b\r\n\r\n"
    whole = head % (b"a" * (64 * 1024 - len(head % b"")))
    with connected(service) as caller:
        for _ in range(3):
            caller.sendall(whole)
            response = http.client.HTTPResponse(caller)
            response.begin()
            assert (response.status, response.read()) == (200, b"[]")
        longer = head % (b"a" * (64 * 1024 + more - len(head % b"")))
        caller.sendall(longer[:100])
        caller.sendall(longer[100:])
        response = http.client.HTTPResponse(caller)
        response.begin()
        assert response.status == (431 if more else 200)
        if more:
            assert response.headers["X-RateLimit-Provisioning-Limit"] == "5"
            assert "65536 bytes" in json.loads(response.read())["detail"]
            assert caller.recv(1) == b""


@pytest.mark.parametrize("behind", [b"", b"0\r\n"], ids=["head", "trailers"])
@pytest.mark.parametrize("more", [0, 1])
def test_a_head_has_no_more_fields_than_are_of_use(
    service: Service, behind: bytes, more: int
) -> None:
    """Also what follows a body; for each of the requests on a connection."""
    head = b"GET /engines HTTP/1.1\r\n" + HOST
    before = 1
    if behind:
        head, before = head + b"Transfer-Encoding: chunked\r\n\r\n" + behind, 0
    told = b""
    with connected(service) as caller:
        for fields, status in ((99, 200), (99, 200), (100 - before + more, 431 if more else 200)):
            caller.sendall(head + b"a: b\r\n" * fields + b"\r\n")
            response = http.client.HTTPResponse(caller)
            response.begin()
            told = response.read()
            assert response.status == status or (behind and more)
        if more and not behind:
            assert json.loads(told)["detail"] == "more than 100 header fields"
        if more:
            assert caller.recv(1) == b""


def test_heads_of_many_callers_that_never_end_are_small(service: Service) -> None:
    """A field of four bytes takes a hundred times as much in memory."""
    head = b"GET /engines HTTP/1.1\r\n" + HOST + b"a:\r\n" * 15_000
    with measured(service) as work, ExitStack() as held:
        for _ in range(200):
            with suppress(ConnectionError):
                held.enter_context(connected(service)).sendall(head)
        assert answered(service) == 200
    assert work.memory < 32 * MIB


def test_what_was_asked_before_is_answered_first(service: Service) -> None:
    request = b"GET /engines HTTP/1.1\r\n" + HOST + b"\r\n"
    with connected(service) as caller:
        caller.sendall(request * 3 + b"nonsense\r\n\r\n")
        answers = said(caller)
    statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200", b"400"]


def test_a_pipeline_is_answered_whole_and_in_order(service: Service) -> None:
    paths = [f"/engines/{number}" for number in range(3000)]
    asked = "".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in paths)
    with connected(service) as caller:
        caller.sendall(asked.encode() + b"DELETE / HTTP/1.0\r\n\r\n")
        answers = said(caller)
    assert answers.count(b"HTTP/1.1 404") == 3001
    told = re.findall(rb"no engine has the container id (\d+)", answers)
    assert told == [b"%d" % number for number in range(3000)]


@pytest.mark.parametrize("path", ["/engines", "/log/live", "/panel/live"])
def test_answers_that_nobody_reads_are_not_made(service: Service, path: str) -> None:
    asked = b"GET %b HTTP/1.1\r\n%b\r\n" % (path.encode(), HOST)
    assert answered(service) == 200
    with measured(service) as work, connected(service) as asking:
        asking.setblocking(False)
        left = memoryview(asked * (16 * MIB // len(asked)))
        others = 0
        while left and others < 100:  # others are served meanwhile, and it is asked on
            try:
                left = left[asking.send(left) :]
            except BlockingIOError:
                assert answered(service) == 200
                others += 1
        assert left, "all was taken, and somewhere it is kept"
    assert work.memory < 16 * MIB


def test_who_left_is_not_followed_up_though_it_asked_for_more(tmp_path: Path) -> None:
    asked = b"GET /log/live HTTP/1.1\r\n%bX: y\r\n\r\nGET /engines HTTP/1.1\r\n%b\r\n" % (
        HOST,
        HOST,
    )
    service = Service(settings(tmp_path), tmp_path)
    try:
        service.wait_for("serving")
        with ExitStack() as stack:
            for _ in range(32):
                follower = stack.enter_context(connected(service))
                follower.sendall(asked)
                assert follower.recv(12) == b"HTTP/1.1 200"
        events = iter(range(1000))

        def has_room() -> bool:
            one = started(labels={"stream_id": f"s{next(events)}"})
            assert _post(service, "/events/stream_started", one) == 202  # they are told of it
            with connected(service) as follower:
                follower.sendall(b"GET /log/live HTTP/1.1\r\n" + HOST + b"\r\n")
                return follower.recv(12) == b"HTTP/1.1 200"

        until(has_room)
        assert [line for line in service.log() if line["level"] == "ERROR"] == []
    finally:
        service.kill()


def test_a_trailer_is_no_header(service: Service) -> None:
    """It comes after what the headers allow was decided."""
    with connected(service) as caller:
        caller.sendall(
            b"POST /scale/0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\nHost: localhost\r\n\r\n"
        )
        response = http.client.HTTPResponse(caller)
        response.begin()
        assert response.status == 403


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        ("GET http://evil.example/engines HTTP/1.1", "Host: localhost\r\n", 403),
        ("GET http://localhost/engines HTTP/1.1", "Host: evil.example\r\n", 200),
        ("GET http://localhost@evil.example/engines HTTP/1.1", "Host: localhost\r\n", 403),
        ("GET http://localhost:1/engines?include=all HTTP/1.1", "Host: localhost\r\n", 200),
        ("GET /engines HTTP/1.1", "", 403),
        ("GET /engines HTTP/1.0", "", 403),
        ("GET /engines HTTP/1.0", "Host: localhost\r\n", 200),
        ("GET //engines HTTP/1.1", "Host: evil.example\r\n", 403),
        ("GET /engines HTTP/1.1", "Host: localhost\r\nHost: evil.example\r\n", 403),
        ("GET /absent HTTP/1.1", "Host: evil.example\r\n", 404),
    ],
)
def test_whoever_a_request_says_it_is_for(
    service: Service, request_line: str, host: str, status: int
) -> None:
    with connected(service) as caller:
        caller.sendall(f"{request_line}\r\n{host}\r\n".encode())
        response = http.client.HTTPResponse(caller)
        response.begin()
        assert response.status == status


def test_who_waits_for_leave_to_send_a_body_gets_it(service: Service) -> None:
    with connected(service) as caller:
        caller.sendall(
            b"POST /events/batch HTTP/1.1\r\n" + JSON + b"Expect: 100-continue\r\n"
            b"Content-Length: 2\r\n\r\n"
        )
        assert caller.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(b"{}")
        response = http.client.HTTPResponse(caller)
        response.begin()
        assert response.status == 200
        response.read()
        caller.sendall(
            b"POST /absent HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n"
            b"Content-Length: 2\r\n\r\n"
        )
        response = http.client.HTTPResponse(caller)
        response.begin()
        assert response.status == 404


def test_who_only_connects_keeps_nobody_out(tmp_path: Path) -> None:
    """Not even where a shell allows few descriptors, as most do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        service = Service(settings(tmp_path), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    try:
        service.wait_for("serving")
        with ExitStack() as stack:
            asked = stack.enter_context(closing(http.client.HTTPConnection(*service.address)))
            assert answered(service, asked) == 200
            silent = [stack.enter_context(connected(service)) for _ in range(3000)]
            for _ in range(20):
                assert answered(service) == 200
            assert answered(service, asked) == 200
            assert _ended(silent[0])
            assert not _ended(silent[-1])
            assert descriptors(service) < 2200
        assert service.wait_for("connections_full")["connected"] == 2048
    finally:
        service.kill()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kept", ["keep-alive", "close"])
def test_who_takes_nothing_is_cut_off_and_costs_little(tmp_path: Path, kept: str) -> None:
    service = Service(settings(tmp_path, API_REQUEST_TIMEOUT_S="5"), tmp_path)
    try:
        service.wait_for("serving")
        for some in range(8):
            events = [started(labels={"stream_id": f"s{some}-{n}"}) for n in range(1000)]
            assert _post(service, "/events/batch", {"started": events}) == 200
        assert answered(service, path="/streams?status=started") == 200
        before = descriptors(service)
        with ExitStack() as stack, measured(service) as work:
            for number in range(100):
                # Each is another answer, which only one connection holds.
                one = started(labels={"stream_id": f"t{number}"})
                assert _post(service, "/events/stream_started", one) == 202
                slow = stack.enter_context(closing(socket.socket()))
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.connect(service.address)
                slow.sendall(
                    b"GET /streams?status=started HTTP/1.1\r\n"
                    b"Connection: %b\r\n%b\r\n" % (kept.encode(), HOST)
                )
                assert slow.recv(8) == b"HTTP/1.1"
            until(lambda: descriptors(service) <= before)
        assert work.memory < 160 * MIB
    finally:
        service.kill()


class measured:  # noqa: N801 (it is used as a function)
    """What the service needs meanwhile: bytes of memory at its peak, and seconds of a processor."""

    def __init__(self, service: Service) -> None:
        self._process = Path(f"/proc/{service.process.pid}")
        self.memory = 0
        self.seconds = 0.0

    def __enter__(self) -> "measured":
        self._process.joinpath("clear_refs").write_text("5")  # the peak begins anew
        self.memory, self.seconds = -self._peak(), -self._spent()
        return self

    def __exit__(self, *_: object) -> None:
        self.memory += self._peak()
        self.seconds += self._spent()

    def _peak(self) -> int:
        lines = self._process.joinpath("status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def _spent(self) -> float:
        fields = self._process.joinpath("stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(service: Service) -> int:
    return sum(1 for _ in Path(f"/proc/{service.process.pid}/fd").iterdir())


def connected(service: Service) -> socket.socket:
    return socket.create_connection(service.address, LIMIT_S)


def answered(
    service: Service, connection: http.client.HTTPConnection | None = None, path: str = "/engines"
) -> int:
    """On a connection of its own, unless there is one."""
    if connection is None:
        with closing(http.client.HTTPConnection(*service.address, timeout=LIMIT_S)) as own:
            return answered(service, own, path)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status


def said(caller: socket.socket) -> bytes:
    """Until the service ends the connection."""
    heard = b""
    with suppress(ConnectionError):
        while piece := caller.recv(65536):
            heard += piece
    return heard


def _ended(caller: socket.socket) -> bool:
    caller.settimeout(0)
    try:
        return caller.recv(1) == b""
    except ConnectionError:
        return True
    except BlockingIOError:
        return False


def _post(service: Service, path: str, body: object) -> int:
    with closing(http.client.HTTPConnection(*service.address, timeout=LIMIT_S)) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        response.read()
        return response.status

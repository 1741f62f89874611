"""What is not a request an engine answers; after each the emulator is as well as before."""

import socket

import pytest

from .running import LIMIT_S, Emulator

HEAD_LIMIT = 16 * 1024


def first_line(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
        client.sendall(sent)
        return client.makefile("rb").readline().rstrip()


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"hello\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/2\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET ace HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: ".ljust(HEAD_LIMIT, b"x"), b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: no\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /?" + b"a=&" * 101 + b" HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"POST /ace/getstream HTTP/1.1\r\n\r\n", b"HTTP/1.1 501 Not Implemented"),
        (b"GET /ace/nothing HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found"),
    ],
)
def test_refuses(shared: Emulator, sent: bytes, line: bytes) -> None:
    assert first_line(shared.port, sent) == line
    assert shared.status().status == 200


def test_the_admin_port_refuses_what_is_not_json(shared: Emulator) -> None:
    for body in (b"{", b"[" * 4000):
        request = b"POST /faults HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        assert first_line(shared.admin_port, request) == b"HTTP/1.1 400 Bad Request"


def test_takes_a_request_in_pieces(shared: Emulator) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), LIMIT_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"GET /webui/api/service?method=get_ver", b"sion HTTP/1.0\r\n", b"\r\n"):
            client.sendall(piece)
        assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_without_a_host_header_urls_carry_the_address(shared: Emulator) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), LIMIT_S) as client:
        client.sendall(b"GET /ace/getstream?infohash=" + b"ab" * 20 + b" HTTP/1.0\r\n\r\n")
        reply = client.makefile("rb").read()
    assert b"Location: http://127.0.0.1:%d/ace/r/" % shared.port in reply


def test_a_client_that_leaves_is_let_go(emulator: Emulator) -> None:
    """More of them than there are places for."""
    emulator.fault("hang")
    for _ in range(520):
        emulator.asked("/webui/api/service?method=get_version").close()
    emulator.admin("DELETE", "/faults")
    assert emulator.status().status == 200

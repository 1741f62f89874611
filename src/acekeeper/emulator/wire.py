"""HTTP/1.1, as much of it as an engine speaks: one request per connection, then it closes."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 4 * 1024
CONNECTION_LIMIT = 512  # further ones wait in the kernel's backlog
PATIENCE_S = 10.0  # with a client that does not send its request, or take its answer

_REASONS = {
    200: "OK",
    301: "Moved Permanently",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    500: "Internal Server Error",
    501: "Not Implemented",
}


class CannotListen(Exception):
    pass


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    host: str
    headers: dict[str, str]  # by their names in lower case
    body: bytes


class Answer(NamedTuple):
    status: int
    content_type: str
    body: str
    location: str = ""

    def encoded(self) -> bytes:
        body = self.body.encode()
        head = head_lines(self.status, self.content_type)
        if self.location:
            head += f"Location: {self.location}\r\n"  # the engine's redirects carry no length
        else:
            head += f"Content-Length: {len(body)}\r\n"
        return head.encode("latin-1", "replace") + b"\r\n" + body


def head_lines(status: int, content_type: str) -> str:
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "Access-Control-Allow-Origin: *\r\n"
        "Connection: close\r\n"
        f"Content-Type: {content_type}\r\n"
    )


def text(status: int, body: str) -> Answer:
    return Answer(status, "text/plain", body)


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, "application/json", json.dumps(value))


def redirect(location: str, status: int = 302) -> Answer:
    return Answer(status, "text/plain", f"Redirect to {location}", location)


class Server:
    """Accepts on one port; every connection gets a thread, which costs nothing while it waits."""

    def __init__(
        self, host: str, port: int, handle: Callable[[socket.socket, Request], None]
    ) -> None:
        self._handle = handle
        self._slots = threading.BoundedSemaphore(CONNECTION_LIMIT)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port = port
        with self._explained():
            self._listener.bind((host, port))

    def listen(self) -> None:
        """Until this is called the port is taken, but connections are refused."""
        with self._explained():
            self._listener.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotListen(f"cannot listen on port {self._port}: {error.strerror}") from None

    def _accept(self) -> None:
        while True:
            self._slots.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError:  # most likely out of descriptors: wait for some to be closed
                self._slots.release()
                time.sleep(0.1)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(PATIENCE_S)
                try:
                    request = _read(client)
                except ValueError as error:
                    client.sendall(text(400, str(error)).encoded())
                else:
                    self._handle(client, request)
        except OSError:
            pass  # the client went away or did not keep up: nobody is left to tell
        finally:
            self._slots.release()


def _read(client: socket.socket) -> Request:
    """ValueError says what is wrong with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        if len(received) >= HEAD_LIMIT:
            raise ValueError("request head too long")
        received += _receive(client, HEAD_LIMIT - len(received))
    head, _, body = received.partition(b"\r\n\r\n")
    request_line, *header_lines = head.decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        raise ValueError("malformed request line")
    method, target, _ = words
    headers: dict[str, str] = {}
    for line in header_lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= BODY_LIMIT:
        raise ValueError("request body too long")
    while len(body) < length:
        body += _receive(client, length - len(body))
    path, _, query = target.partition("?")
    host = headers.get("host") or "{}:{}".format(*client.getsockname())
    fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
    return Request(method, unquote(path), fields, host, headers, body)


def _receive(client: socket.socket, limit: int) -> bytes:
    data = client.recv(limit)
    if not data:
        raise ConnectionResetError
    return data

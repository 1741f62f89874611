"""Requests as fast as they are answered, on connections that are kept. Light, since it shares the
processors with what it measures."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import repeat
from statistics import quantiles
from typing import Any

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HEAD_ENDS = b"\r\n\r\n"
_WITHOUT_BODY = b"HTTP/1.1 304"
_GOOD = (b"HTTP/1.1 20", _WITHOUT_BODY)
_CONNECTIONS = 10


class Pace:
    """How long each request `took`, in seconds, and all of them together."""

    def __init__(self, took: Sequence[float], seconds: float) -> None:
        self.took = took
        self.per_second = len(took) / seconds

    @cached_property
    def _cuts_ms(self) -> list[float]:
        return [1000 * cut for cut in quantiles(self.took, n=100)]

    @property
    def p50_ms(self) -> float:
        return self._cuts_ms[49]

    @property
    def p99_ms(self) -> float:
        return self._cuts_ms[98]

    @property
    def longest_ms(self) -> float:
        return 1000 * max(self.took)


def get(target: str, etag: str = "") -> bytes:
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{condition}\r\n".encode()


def post(path: str, body: bytes = b"") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load(port: int, request: bytes, seconds: float) -> Pace:
    """The same on several connections."""
    return run(port, [repeat(request)] * _CONNECTIONS, seconds)


def run(port: int, clients: Sequence[Iterator[bytes]], seconds: float) -> Pace:
    return uvloop.run(pace(port, clients, seconds))


async def pace(port: int, clients: Sequence[Iterator[bytes]], seconds: float) -> Pace:
    """Each client sends its next request when it has the answer to the one before, until time is
    up or it has no more."""
    loop, took = asyncio.get_running_loop(), list[float]()
    began = time.perf_counter()
    made = [_Client(requests, took, began + seconds) for requests in clients]
    for client in made:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(client.done for client in made))
    return Pace(took, time.perf_counter() - began)


class _Client(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], took: list[float], deadline: float) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._took = took
        self._deadline = deadline
        self._head = b""
        self._left: int | None = None  # bytes of the body that did not come yet
        self._asked = 0.0

    def connection_made(self, transport: Any) -> None:  # uvloop's are none of asyncio's
        self._transport = transport
        self._asked = time.perf_counter()
        self._ask()

    def data_received(self, data: bytes) -> None:
        try:
            self._read(data)
        except Exception as error:  # a loop would only print it
            self.done.set_exception(error)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("closed before the answer"))

    def _read(self, data: bytes) -> None:
        if self._left is None:
            self._head += data
            if (left := missing(self._head)) is None:
                return
            self._left, self._head = left, b""
        else:
            self._left -= len(data)
        if not self._left:
            self._left = None
            before, self._asked = self._asked, time.perf_counter()
            self._took.append(self._asked - before)
            self._ask()

    def _ask(self) -> None:
        if self._asked < self._deadline and (request := next(self._requests, None)):
            self._transport.write(request)
        else:
            self.done.set_result(None)
            self._transport.close()


class Kept:
    """One connection, used by a client that waits for each answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        self._socket.sendall(request)
        answer = b""
        while (left := missing(answer)) is None or left:
            more = self._socket.recv(1 << 17)
            assert more, "closed before the answer"
            answer += more
        return answer


def missing(answer: bytes) -> int | None:
    """How many bytes of an answer are still to come; None while that is not known. Any but a good
    one fails."""
    end = answer.find(_HEAD_ENDS)
    if end < 0:
        return None
    assert answer.startswith(_GOOD), answer
    length = None if answer.startswith(_WITHOUT_BODY) else _LENGTH.search(answer, 0, end + 2)
    return end + len(_HEAD_ENDS) + (int(length[1]) if length else 0) - len(answer)

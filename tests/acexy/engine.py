"""Asks the engine, by URLs as they are given, and follows its redirects."""

import http.client
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from .connections import Connections

HEADERS_S = 10.0  # of each hop
REQUESTS = 10  # that follow one another by redirects
CONNECTIONS = 10  # to one address
_REDIRECTS = {301, 302, 303, 307, 308}
_NOBODY_WAITS = 10_000


class Refused(Exception):
    pass


FAILURES = (OSError, ValueError, http.client.HTTPException, Refused)


class Answer:
    """One whose headers have come."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: socket.socket,
        slot: threading.Semaphore | None,
    ) -> None:
        self.response = response
        self.connection = connection
        self._slot = slot

    def close(self) -> None:
        self.response.close()
        self.connection.close()
        if self._slot:
            self._slot.release()


class Engine:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._slots: defaultdict[str, threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(CONNECTIONS)
        )

    def ask(self, url: str, within_s: float) -> bytes:
        deadline = time.monotonic() + within_s
        answer = _follow(url, lambda url: self._hop(url, deadline - time.monotonic(), None))
        try:
            answer.connection.settimeout(max(0.001, deadline - time.monotonic()))
            return answer.response.read()
        finally:
            answer.close()

    def play(self, url: str) -> Answer:
        """Waits for its turn at an address that has all the connections it may have."""
        return _follow(url, self._hop_in_turn)

    def give_up(self) -> None:
        """Nobody gets a turn any more but to find that all is closed."""
        for slot in [*self._slots.values()]:
            slot.release(_NOBODY_WAITS)

    def _hop_in_turn(self, url: str) -> Answer:
        slot = self._slots[urlsplit(url).netloc]
        slot.acquire()
        try:
            return self._hop(url, HEADERS_S, slot)
        except BaseException:
            slot.release()
            raise

    def _hop(self, url: str, seconds: float, slot: threading.Semaphore | None) -> Answer:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise Refused(f"no URL to ask: {url!r}")
        if seconds <= 0:
            raise TimeoutError("timed out")
        client = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
        try:
            client.connect()
            connection = client.sock
            self._connections.add(connection)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            client.putrequest("GET", target, skip_accept_encoding=True)
            client.putheader("User-Agent", "Go-http-client/1.1")
            client.endheaders()
            response = client.getresponse()
        except BaseException:
            client.close()
            raise
        answer = Answer(response, connection, slot)
        if response.headers.defects:
            response.close()
            connection.close()
            raise http.client.HTTPException("malformed header")
        return answer


def _follow(url: str, hop: Callable[[str], Answer]) -> Answer:
    for _ in range(REQUESTS):
        answer = hop(url)
        location = answer.response.headers.get("Location")
        if answer.response.status not in _REDIRECTS or location is None:
            return answer
        answer.close()
        url = urljoin(url, location)
    raise Refused(f"stopped after {REQUESTS} redirects")

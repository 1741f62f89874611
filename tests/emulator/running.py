"""An emulator in a process of its own, and the ways in which tests talk to it."""

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ..ports import free_port

CONTENT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"
LIMIT_S = 30.0
BURST = 9 << 19  # bytes at the start of a stream
MORE_THAN_IN_HAND = BURST + 100_000
UNKNOWN = {"response": None, "error": "unknown playback session id"}
STATUS = "/server/api?api_version=3&method=get_status"
GETSTREAM = "/ace/getstream?format=json&infohash="
SILENCE_S = 0.25  # without an answer for so long, on loopback: it does not answer


def until(happened: Callable[[], bool]) -> None:
    """Every look is a request to the emulator, so this waits for it rather than on the clock."""
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline, "did not happen in time"


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A process of the emulator, with these words."""

    def __init__(self, *words: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "acekeeper.emulator", *words],
            stdout=subprocess.PIPE,
            env=os.environ | variables,
        )
        self._printed = b""

    def wait_for_line(self, part: str) -> None:
        assert self.process.stdout
        while part.encode() not in self._printed:
            ready, _, _ = select.select([self.process.stdout], [], [], LIMIT_S)
            data = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            assert data, f"never said {part!r}: {self._printed!r}"
            self._printed += data

    def exit_code(self) -> int:
        return self.process.wait(LIMIT_S)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


class Emulator(Running):
    def __init__(self, *options: str, http_port: int | None = None) -> None:
        self.port = http_port or free_port()
        self.admin_port = free_port()
        own = ["--http-port", str(self.port), "--admin-port", str(self.admin_port)]
        super().__init__(*own, *options)

    def ready(self) -> "Emulator":
        self.wait_for_line("httpserver|start")
        return self

    def get(self, target: str, **query: str) -> Reply:
        return call(self.port, "GET", f"{target}?{urlencode(query)}" if query else target)

    def status(self) -> Reply:
        return self.get(STATUS)

    def open(self, infohash: str = CONTENT) -> dict[str, Any]:
        response: dict[str, Any] = self.get(
            "/ace/getstream", infohash=infohash, format="json"
        ).json["response"]
        return response

    def stat(self, session: dict[str, Any]) -> Any:
        return self.get(path_of(session["stat_url"])).json

    def stop(self, session: dict[str, Any]) -> Any:
        return self.get(path_of(session["command_url"]), method="stop").json

    def read(self, session: dict[str, Any]) -> "Reader":
        redirect = self.get(path_of(session["playback_url"]))
        assert redirect.status == 302
        return Reader(self.port, path_of(redirect.headers["Location"]))

    def admin(self, method: str, path: str, body: object = None) -> Reply:
        return call(self.admin_port, method, path, None if body is None else json.dumps(body))

    def fault(self, kind: str, **fields: object) -> None:
        assert self.admin("POST", "/faults", {"kind": kind, **fields}).status == 200

    def count(self, name: str) -> int:
        number: int = self.admin("GET", "/counters").json[name]
        return number

    def asked(self, target: str) -> socket.socket:
        """A connection with a request on it whose answer nobody has waited for."""
        client = socket.create_connection(("127.0.0.1", self.port), LIMIT_S)
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: engine\r\n\r\n".encode())
        return client


class Reader:
    """Has asked for a stream; `start` waits for its headers."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self._connection.request("GET", path)
        self._response: http.client.HTTPResponse | None = None
        assert self._connection.sock
        self._socket = self._connection.sock

    def start(self) -> http.client.HTTPResponse:
        if self._response is None:
            self._response = self._connection.getresponse()
        return self._response

    def take(self, size: int) -> bytes:
        return self.start().read(size)

    def drain(self) -> int:
        """Take all there is until the emulator closes; how much it was."""
        return len(self.start().read())

    def runs_dry(self) -> None:
        """Take what is on its way, until no more comes."""
        response = self.start()
        deadline = time.monotonic() + LIMIT_S
        while select.select([self._socket], [], [], SILENCE_S)[0]:
            assert response.read1(65536), "closed"
            assert time.monotonic() < deadline, "bytes go on coming"

    def is_silent(self) -> bool:
        return are_silent(self._socket)

    def close(self) -> None:
        if self._response:
            self._response.close()
        self._connection.close()


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def are_silent(*clients: socket.socket) -> bool:
    return not select.select(clients, [], [], SILENCE_S)[0]


def call(port: int, method: str, target: str, body: str | None = None, **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request(method, target, body, headers)
        with connection.getresponse() as response:
            return Reply(response.status, dict(response.headers), response.read())
    finally:
        connection.close()

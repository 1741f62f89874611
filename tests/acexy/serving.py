"""The side of the viewers: `/ace/getstream` and `/ace/status`."""

import asyncio
import json
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from .connections import Connections
from .engine import FAILURES
from .proxy import Content, Proxy
from .viewer import Viewer


class Acexy:
    """`engine` is `host:port`; port 0 is a free one."""

    def __init__(self, engine: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self._engine = engine
        self._address = host, port

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self._server.server_address[:2])

    async def start(self) -> None:
        self.listen()

    def listen(self) -> None:
        self._connections = Connections()
        self._proxy = Proxy(self._engine, self._connections)
        self._server = _Server(self._address, self._proxy, self._connections)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    async def close(self) -> None:
        """As a signal ends the real one: all connections are cut, and nothing is stopped."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._server.shutdown()
        self._connections.cut()
        self._proxy.give_up()
        self._server.server_close()  # waits for the threads of viewers
        self._thread.join()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: Proxy, connections: Connections) -> None:
        self.proxy = proxy
        self.connections = connections
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A viewer that leaves is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.server.connections.add(self.request)
        super().setup()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """A viewer's request is in nobody's log."""

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        match target.path:
            case "/ace/getstream" | "/ace/getstream/":
                self._getstream(query)
            case "/ace/status":
                self._status(query)
            case _:
                self._answer(404, "404 page not found")

    def do_HEAD(self) -> None:
        self._answer(405, "Method not allowed")

    def _getstream(self, query: Mapping[str, str]) -> None:
        content = _content(query)
        if content is None:
            self._answer(400, "one of `id` and `infohash` must have a value")
        elif "pid" in query:
            self._answer(400, "PID parameter is not allowed")
        else:
            self._stream(content, query)

    def _stream(self, content: Content, query: Mapping[str, str]) -> None:
        """Nobody looks whether the viewer is still there before its stream has begun."""
        viewer = Viewer(self.connection, in_chunks=self.request_version != "HTTP/1.0")
        proxy = self.server.proxy
        try:
            stream = proxy.fetch(content, query)
            proxy.play(stream, viewer)
        except FAILURES as error:
            self._answer(500, f"Failed to start stream: {error}")
            return
        viewer.wait_for_its_end(stream.over)
        proxy.leave(stream, viewer)
        viewer.end()
        self.close_connection = True

    def _status(self, query: Mapping[str, str]) -> None:
        status = self.server.proxy.status(_content(query))
        if status is None:
            self._answer(404, "Stream not found")
        else:
            self._answer(200, json.dumps(status), "application/json")

    def _answer(self, status: int, text: str, content_type: str = "text/plain") -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _content(query: Mapping[str, str]) -> Content | None:
    named = [(kind, query[kind]) for kind in ("id", "infohash") if query.get(kind)]
    return named[0] if len(named) == 1 else None

"""The HTTP server: uvicorn, with an end that costs no caller its answer."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from acekeeper.listening import BACKLOG

# An extension of the scope: ends the connection at once, whatever of the answer was not taken yet.
CUT = "acekeeper.cut"

_STILL_COMING_S = 0.3  # what was accepted or sent before we stopped listening
_ANSWERS_WITHIN_S = 10
# Longer than clients keep an idle connection (Go: 90 s): who closes first can lose no request.
_KEEP_ALIVE_S = 120


def _answering(malformed: Callable[[str], bytes]) -> type[HttpToolsProtocol]:
    class Protocol(HttpToolsProtocol):
        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            extensions: dict[str, Any] = {CUT: self.transport.abort}
            self.scope["extensions"] = extensions

        def send_400_response(self, msg: str) -> None:
            self.transport.write(malformed(msg))
            self.transport.close()

    return Protocol


class Server(uvicorn.Server):
    """`started` is called when it listens; `malformed` makes the whole answer to what is no HTTP,
    which never gets to the app; `leaving` is called when it is about to stop: answers without an
    end are to end then."""

    def __init__(
        self,
        app: ASGIApp,
        started: Callable[[], None],
        malformed: Callable[[str], bytes],
        leaving: Callable[[], object] = lambda: None,
    ) -> None:
        self._tell_started = started
        self._tell_leaving = leaving
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the rest we say ourselves
        super().__init__(
            uvicorn.Config(
                app,
                http=_answering(malformed),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_ANSWERS_WITHIN_S,
                backlog=BACKLOG,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops listening first. Then what is on its way is answered, with `Connection: close`
        (`should_exit` says so), before the idle connections are closed."""
        for server in self.servers:
            server.close()
        self._tell_leaving()
        await asyncio.sleep(_STILL_COMING_S)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again at the end, and Ctrl-C ended in a traceback."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

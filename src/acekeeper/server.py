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
_STEPS = 10
_ANSWERS_WITHIN_S = 10
# Longer than clients keep an idle connection (Go: 90 s): who closes first can lose no request.
_KEEP_ALIVE_S = 120


def _answering(unheard: Callable[[int, str], bytes], head_within: float) -> type[HttpToolsProtocol]:
    class Protocol(HttpToolsProtocol):
        _in_head = False
        _has_asked = False
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Who never asks is kept no longer than who asks no more.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Behind another request a head has the time of a connection that is kept.
            is_behind = self._has_asked and not self.cycle.response_complete
            if self._in_head and not is_behind and self._late is None:
                self._late = self.loop.call_later(head_within, self._head_is_late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_is_over()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._in_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._head_is_over()
            super().on_headers_complete()
            self._has_asked = True
            extensions: dict[str, Any] = {CUT: self.transport.abort}
            self.scope["extensions"] = extensions

        def send_400_response(self, msg: str) -> None:
            self._head_is_over()
            self._refuse(400, msg)

        def _head_is_over(self) -> None:
            self._in_head = False
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _head_is_late(self) -> None:
            self._refuse(
                408, f"its head did not come within the {head_within:g} s of API_REQUEST_TIMEOUT_S"
            )

        def _refuse(self, status: int, why: str) -> None:
            self.transport.write(unheard(status, why))
            self.transport.close()

    return Protocol


class Server(uvicorn.Server):
    """`started` is called when it listens; `unheard` makes the whole answer, with this status, to
    what never gets to the app: what is no HTTP, and heads that do not come; `leaving` is called
    when it is about to stop: answers without an end are to end then."""

    def __init__(
        self,
        app: ASGIApp,
        started: Callable[[], None],
        unheard: Callable[[int, str], bytes],
        head_within: float,
        leaving: Callable[[], object] = lambda: None,
    ) -> None:
        self._tell_started = started
        self._tell_leaving = leaving
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the rest we say ourselves
        super().__init__(
            uvicorn.Config(
                app,
                http=_answering(unheard, head_within),
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
        # In steps, between which requests are read: of a machine that stands still it takes only
        # one, and what was sent meanwhile is there before the last.
        for _ in range(_STEPS):
            await asyncio.sleep(_STILL_COMING_S / _STEPS)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again at the end, and Ctrl-C ended in a traceback."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

"""The HTTP server: uvicorn, with an end that costs no caller its answer."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
import uvloop
from litestar.types import Receive, Send

from acekeeper.crowd import Crowd, most_callers, most_players
from acekeeper.deadlines import Deadlines
from acekeeper.listening import BACKLOG
from acekeeper.protocol import Protocol

_STILL_COMING_S = 0.3  # what was accepted or sent before we stopped listening
_STEPS = 10
ANSWERS_WITHIN_S = 10
# Longer than clients keep an idle connection (Go: 90 s): who closes first can lose no request.
_KEEP_ALIVE_S = 120


class EventLoop(uvloop.Loop):
    """uvloop resolves every address to connect to in a thread, even one that is numeric, unless it
    is told the type of the socket."""

    async def getaddrinfo(self, *at: Any, **given: Any) -> list[Any]:
        return await super().getaddrinfo(*at, **{"type": socket.SOCK_STREAM, **given})


class Server(uvicorn.Server):
    """`started` is called when it listens; `unheard` makes the whole answer, with this status, to
    what never gets to the app: what is no HTTP, and heads that do not come; `leaving` is called
    when it is about to stop: answers without an end are to end then. The others have so many more
    seconds, `answers_within`. `once`: a connection carries one request."""

    def __init__(
        self,
        app: Callable[[Any, Receive, Send], Awaitable[None]],
        started: Callable[[], None],
        unheard: Callable[[int, str], bytes],
        head_within: float,
        leaving: Callable[[], object] = lambda: None,
        *,
        once: bool = False,
        answers_within: int = ANSWERS_WITHIN_S,
    ) -> None:
        self._tell_started = started
        self._tell_leaving = leaving
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the rest we say ourselves
        crowd = Crowd(most_players() if once else most_callers())
        idle = Deadlines(_KEEP_ALIVE_S, Protocol.timeout_keep_alive_handler)
        http: Any = partial(
            Protocol, unheard=unheard, within=head_within, idle=idle, crowd=crowd, once=once
        )
        super().__init__(
            uvicorn.Config(
                app,
                http=http,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=answers_within,
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
        """uvicorn's own raises the signal again at the end, and Ctrl-C ended in a traceback;
        `serve_until_told` has them."""
        yield


async def serve_until_told(servers: Sequence[tuple[Server, Sequence[socket.socket]]]) -> None:
    """Each on its sockets, until SIGINT or SIGTERM tells all of them to stop."""

    def stop(number: int) -> None:
        for server, _ in servers:
            server.handle_exit(number, None)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async with asyncio.TaskGroup() as group:
        for server, sockets in servers:
            group.create_task(server.serve(list(sockets)))

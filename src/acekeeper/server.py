"""The HTTP server: uvicorn, with an end that costs no caller its answer."""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from litestar.types import ASGIApp

from acekeeper.errors import BadSetting

_STILL_COMING_S = 0.3  # what was accepted or sent before we stopped listening
_ANSWERS_WITHIN_S = 10
# Longer than clients keep an idle connection (Go: 90 s): who closes first can lose no request.
_KEEP_ALIVE_S = 120
_BACKLOG = 2048


def bind(host: str, port: int) -> list[socket.socket]:
    """`localhost` is both of its addresses, as far as this machine has them."""
    hosts = ("127.0.0.1", "::1") if host == "localhost" else (host,)
    sockets: list[socket.socket] = []
    try:
        for name in hosts:
            family = socket.AF_INET6 if ":" in name else socket.AF_INET
            try:
                sockets.append(_listen(family, name, port))
            except OSError as error:
                if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue
                raise _cannot_listen(error, name, port) from error
    except BaseException:
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _cannot_listen(error: OSError, host: str, port: int) -> BadSetting:
    where = f"APP_HOST={host} APP_PORT={port}"
    if error.errno == errno.EADDRINUSE:
        return BadSetting(
            f"{where}: another program listens there",
            f"`ss -ltnp sport = :{port}` names it; stop it or set APP_PORT to a free port",
        )
    return BadSetting(f"{where}: cannot listen there ({error.strerror})", "Set another one")


class Server(uvicorn.Server):
    """`started` is called when it listens."""

    def __init__(self, app: ASGIApp, started: Callable[[], None]) -> None:
        self._tell_started = started
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the rest we say ourselves
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_ANSWERS_WITHIN_S,
                backlog=_BACKLOG,
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
        await asyncio.sleep(_STILL_COMING_S)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again at the end, and Ctrl-C ended in a traceback."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def are_loopback(sockets: Sequence[socket.socket]) -> bool:
    return all(s.getsockname()[0] in ("127.0.0.1", "::1") for s in sockets)

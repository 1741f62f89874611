"""One engine process: from its command line to its exit code."""

import os
import signal
import time

from . import flags
from .admin import Admin
from .counters import Counters
from .engine import Engine
from .faults import Faults
from .sessions import Sessions
from .wire import Server

_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main(argv: list[str]) -> int:
    # Blocked, so that they wait for `sigwait` below; threads inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        given = flags.parse(argv)
    except flags.BadFlag as error:
        _say(f"bad option: {error}")
        return 2
    counters = Counters()
    sessions = Sessions(given.idle_expiry, counters)
    faults = Faults()
    engine = Engine(sessions, faults, counters, given.bitrate)
    port = given.http_port
    try:
        http = Server(given.host, port, engine.serve)
        if given.admin_port is not None:
            port = given.admin_port
            Server("127.0.0.1", port, Admin(sessions, faults, counters).serve).listen()
        _say("MainThread|acestream|engine starting, version=3.2.3")
        if signal.sigtimedwait(_STOP_SIGNALS, given.start_delay) is None:
            port = given.http_port
            http.listen()
            allow = int(given.bind_all)
            _say(
                f"MainThread|httpserver|start: addr={given.host} port={port}"
                f" allow_remote={allow} allow_intranet=1"
            )
            signal.sigwait(_STOP_SIGNALS)
    except OSError as error:
        _say(f"cannot listen on port {port}: {error.strerror}")
        return 1
    _say("MainThread|acestream|engine stopped")
    return 0


def _say(line: str) -> None:
    os.write(1, f"{time.strftime('%Y-%m-%d %H:%M:%S')}|{line}\n".encode())

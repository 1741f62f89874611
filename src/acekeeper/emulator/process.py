"""One engine process: from its command line to its exit code."""

import os
import signal
import threading
import time
from contextlib import suppress

from .admin import Admin
from .burdens import Limits
from .counters import Counters
from .engine import Engine
from .faults import Faults
from .options import MEANING, OPTIONS, parse
from .sessions import Sessions
from .waiting import remaining
from .wire import CannotListen, Server
from .words import HELP, usage

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main(argv: list[str]) -> int:
    if not HELP.isdisjoint(argv):
        print(usage("emulator", MEANING, OPTIONS))  # noqa: T201
        return 0
    # Blocked, so that they wait for `sigwait` below; threads inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        given = parse(argv)
    except ValueError as error:
        say(f"bad option: {error}")
        return 2
    counters = Counters()
    sessions = Sessions(given.idle_expiry, counters)
    faults = Faults()
    engine = Engine(sessions, faults, counters, given.bitrate, given.hold_at)
    try:
        http = [Server(host, given.http_port, engine.serve) for host in given.hosts]
        if given.admin_port is not None:
            cache = os.path.expanduser(given.cache_dir) + "/.acestream_cache"  # noqa: PTH111
            admin = Admin(sessions, faults, counters, Limits(given.memory_limit << 20, cache))
            Server("127.0.0.1", given.admin_port, admin.serve).listen()
        say("MainThread|acestream|engine starting, version=3.2.3")
        if not _told_to_stop(faults, given.start_delay):
            allow = int(given.bind_all)
            for host, server in zip(given.hosts, http, strict=True):
                server.listen()
                say(
                    f"MainThread|httpserver|start: addr={host} port={given.http_port}"
                    f" allow_remote={allow} allow_intranet=1"
                )
            _told_to_stop(faults)
    except CannotListen as error:
        say(str(error))
        return 1
    say("MainThread|acestream|engine stopped")
    return 0


def _told_to_stop(faults: Faults, within: float = threading.TIMEOUT_MAX) -> bool:
    deadline = time.monotonic() + within
    while signal.sigtimedwait(STOP_SIGNALS, remaining(deadline)) is not None:
        if not faults.of("ignore_sigterm"):
            return True
        say("MainThread|acestream|asked to stop, and goes on")
    return False


def say(line: str) -> None:
    with suppress(OSError):  # whoever reads the log may leave before the engine does
        os.write(1, f"{time.strftime('%Y-%m-%d %H:%M:%S')}|{line}\n".encode())

"""One engine process: from its command line to its exit code."""

import os
import signal
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from .admin import Admin
from .burdens import Limits
from .counters import Counters
from .engine import Engine
from .faults import Faults
from .opening import HoldAt
from .sessions import Sessions
from .waiting import remaining
from .wire import CannotListen, Server

_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class Flags(NamedTuple):
    """The engine's options as far as they change what the emulator does, and ours."""

    http_port: int = 6878
    http_host: str = "127.0.0.1"  # several with commas
    bind_all: bool = False
    start_delay: float = 5.5  # seconds from the start to the first answer
    admin_port: int | None = None
    bitrate: int = 3800  # kbit/s
    idle_expiry: float = 60.0  # seconds without a reader after which a session ends
    hold_at: HoldAt = HoldAt.CONTENT
    cache_dir: str = "~/.ACEStream"
    memory_limit: int = 1024  # MiB

    @property
    def hosts(self) -> list[str]:
        return ["0.0.0.0"] if self.bind_all else self.http_host.split(",")


def main(argv: list[str]) -> int:
    # Blocked, so that they wait for `sigwait` below; threads inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        given = _parse(argv)
    except ValueError as error:
        _say(f"bad option: {error}")
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
        _say("MainThread|acestream|engine starting, version=3.2.3")
        if not _told_to_stop(faults, given.start_delay):
            allow = int(given.bind_all)
            for host, server in zip(given.hosts, http, strict=True):
                server.listen()
                _say(
                    f"MainThread|httpserver|start: addr={host} port={given.http_port}"
                    f" allow_remote={allow} allow_intranet=1"
                )
            _told_to_stop(faults)
    except CannotListen as error:
        _say(str(error))
        return 1
    _say("MainThread|acestream|engine stopped")
    return 0


def _told_to_stop(faults: Faults, within: float = threading.TIMEOUT_MAX) -> bool:
    deadline = time.monotonic() + within
    while signal.sigtimedwait(_STOP_SIGNALS, remaining(deadline)) is not None:
        if not faults.of("ignore_sigterm"):
            return True
        _say("MainThread|acestream|asked to stop, and goes on")
    return False


def _say(line: str) -> None:
    with suppress(OSError):  # whoever reads the log may leave before the engine does
        os.write(1, f"{time.strftime('%Y-%m-%d %H:%M:%S')}|{line}\n".encode())


def _parse(argv: list[str]) -> Flags:
    """Options the emulator has no use for are passed over, with or without a value. ValueError says
    which is bad."""
    given = _options(argv)
    return Flags(
        http_port=int(_number(given, "http-port", Flags().http_port, 1, 65535)),
        http_host=given.get("http-host") or Flags().http_host,
        bind_all="bind-all" in given,
        start_delay=_number(given, "start-delay", Flags().start_delay, 0, 86_400),
        admin_port=int(_number(given, "admin-port", 0, 1, 65535)) or None,
        bitrate=int(_number(given, "bitrate", Flags().bitrate, 128, 100_000)),
        idle_expiry=_number(given, "idle-expiry", Flags().idle_expiry, 0.1, 86_400),
        hold_at=_hold_at(given),
        cache_dir=given.get("cache-dir") or Flags().cache_dir,
        memory_limit=int(_number(given, "memory-limit", Flags().memory_limit, 1, 1 << 20)),
    )


def _options(argv: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    name = ""
    for word in argv:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            given[name] = value
        elif name:
            given[name] = word
            name = ""
    return given


def _hold_at(given: dict[str, str]) -> HoldAt:
    name = given.get("hold-at", Flags().hold_at)
    if name not in [*HoldAt]:
        raise ValueError(f"--hold-at must be {', '.join(HoldAt)}, not {name!r}")
    return HoldAt(name)


def _number(given: dict[str, str], name: str, default: float, low: float, high: float) -> float:
    if name not in given:
        return default
    try:
        value = float(given[name])
    except ValueError:
        raise ValueError(f"--{name} needs a number, not {given[name]!r}") from None
    if not low <= value <= high:
        raise ValueError(f"--{name} must be {low} to {high}, not {given[name]}")
    return value

"""The command line: which options there are, and what is given."""

from functools import partial
from typing import NamedTuple

from .opening import HoldAt
from .words import Option, given, number

MEANING = "run one emulated engine; its other options are accepted, and change nothing"


class Flags(NamedTuple):
    """The engine's options as far as they change what the emulator does, and ours."""

    http_port: int = 6878
    http_host: str = "127.0.0.1"
    bind_all: bool = False
    start_delay: float = 5.5
    admin_port: int | None = None
    bitrate: int = 3800
    idle_expiry: float = 60.0
    hold_at: HoldAt = HoldAt.CONTENT
    cache_dir: str = "~/.ACEStream"
    memory_limit: int = 1024  # MiB

    @property
    def hosts(self) -> list[str]:
        return ["0.0.0.0"] if self.bind_all else self.http_host.split(",")


_option = partial(Option, Flags())

OPTIONS = (
    _option("http-port", "N", "the engine's HTTP API"),
    _option(
        "http-host",
        "LIST",
        "the addresses it listens on, with commas; not an option of the engine",
    ),
    _option("bind-all", "", "listen on all addresses, not on 127.0.0.1 only"),
    _option(
        "start-delay",
        "S",
        "seconds until the HTTP API answers; until then connections are refused",
    ),
    _option("admin-port", "N", "the admin port, on 127.0.0.1"),
    _option("bitrate", "KBIT", "of the streams, 128 to 100000, rounded up to whole packets"),
    _option(
        "idle-expiry",
        "S",
        "a session that nobody reads ends after this; asking for `stat` is not reading",
    ),
    _option("hold-at", "PLACE", f"where a player waits for the prebuffer: {', '.join(HoldAt)}"),
    _option("cache-dir", "DIR", "where the fault `grow_cache` writes, in `.acestream_cache`"),
    _option(
        "memory-limit",
        "MIB",
        "the fault `grow_memory` ends here: the process kills itself, as the kernel would",
    ),
)


def parse(argv: list[str]) -> Flags:
    """Options the emulator has no use for are passed over, with or without a value. ValueError says
    which is bad."""
    words = given(argv)
    return Flags(
        http_port=int(number(words, "http-port", Flags().http_port, 1, 65535)),
        http_host=words.get("http-host") or Flags().http_host,
        bind_all="bind-all" in words,
        start_delay=number(words, "start-delay", Flags().start_delay, 0, 86_400),
        admin_port=int(number(words, "admin-port", 0, 1, 65535)) or None,
        bitrate=int(number(words, "bitrate", Flags().bitrate, 128, 100_000)),
        idle_expiry=number(words, "idle-expiry", Flags().idle_expiry, 0.1, 86_400),
        hold_at=_hold_at(words),
        cache_dir=words.get("cache-dir") or Flags().cache_dir,
        memory_limit=int(number(words, "memory-limit", Flags().memory_limit, 1, 1 << 20)),
    )


def _hold_at(words: dict[str, str]) -> HoldAt:
    name = words.get("hold-at", Flags().hold_at)
    if name not in [*HoldAt]:
        raise ValueError(f"--hold-at must be {', '.join(HoldAt)}, not {name!r}")
    return HoldAt(name)

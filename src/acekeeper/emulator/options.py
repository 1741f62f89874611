"""The command line: which options there are, and what is given."""

from typing import NamedTuple

from .opening import HoldAt

HELP = {"-h", "--help"}


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


class Option(NamedTuple):
    """One of `Flags`, as a person is told of it."""

    name: str
    value: str  # what stands for it; empty if it takes none
    meaning: str

    @property
    def default(self) -> str:
        default = Flags()._asdict()[self.name.replace("-", "_")]
        if default in (None, False):
            return "off"
        return f"{default:g}" if isinstance(default, float) else str(default)

    def __str__(self) -> str:
        return f"--{self.name} {self.value}".rstrip()


OPTIONS = (
    Option("http-port", "N", "the engine's HTTP API"),
    Option(
        "http-host",
        "LIST",
        "the addresses it listens on, with commas; not an option of the engine",
    ),
    Option("bind-all", "", "listen on all addresses, not on 127.0.0.1 only"),
    Option(
        "start-delay",
        "S",
        "seconds until the HTTP API answers; until then connections are refused",
    ),
    Option("admin-port", "N", "the admin port, on 127.0.0.1"),
    Option("bitrate", "KBIT", "of the streams, 128 to 100000, rounded up to whole packets"),
    Option(
        "idle-expiry",
        "S",
        "a session that nobody reads ends after this; asking for `stat` is not reading",
    ),
    Option("hold-at", "PLACE", f"where a player waits for the prebuffer: {', '.join(HoldAt)}"),
    Option("cache-dir", "DIR", "where the fault `grow_cache` writes, in `.acestream_cache`"),
    Option(
        "memory-limit",
        "MIB",
        "the fault `grow_memory` ends here: the process kills itself, as the kernel would",
    ),
)


def usage() -> str:
    lines = [
        "usage: acekeeper emulator [OPTION...]",
        "",
        "run one emulated engine; its other options are accepted, and change nothing",
        "",
        "options:",
        *(f"  {option!s:22}{option.meaning} ({option.default})" for option in OPTIONS),
    ]
    return "\n".join(lines)


def parse(argv: list[str]) -> Flags:
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

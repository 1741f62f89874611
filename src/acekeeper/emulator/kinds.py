"""The faults there are, each once; the table in docs/emulator.md is made from this one."""

import enum
from typing import Final, NamedTuple


class Part(enum.Enum):
    """A part of the engine that a fault can hold up."""

    SERVICE = enum.auto()  # get_version, get_status and the other calls about the engine itself
    START = enum.auto()  # getstream and manifest.m3u8
    READ = enum.auto()  # what a playback_url leads to
    STAT = enum.auto()
    STOP = enum.auto()
    PREBUFFER = enum.auto()  # the wait for the first bytes of a stream
    STREAM = enum.auto()  # the bytes of a stream that plays


class Amount(NamedTuple):
    unit: str
    default: float
    low: float
    high: float


class Kind(NamedTuple):
    effect: str
    holds: frozenset[Part] = frozenset()
    per_content: bool = True
    amount: Amount | None = None


_API = frozenset({Part.SERVICE, Part.START, Part.READ, Part.STAT, Part.STOP})
_DAY_S = 86_400

KINDS: Final = {
    "hang": Kind(
        "TCP is accepted, nothing is answered, and streams stop",
        holds=frozenset(Part),
        per_content=False,
    ),
    "hang_api": Kind(
        "nothing is answered, but streams that play go on", holds=_API, per_content=False
    ),
    "hang_playback": Kind(
        "calls about the engine are answered; starting, reading, `stat` and `stop` are not;"
        " streams that play go on",
        holds=_API - {Part.SERVICE},
    ),
    "hang_getstream": Kind("only starting playback is not answered", holds=frozenset({Part.START})),
    "hang_read": Kind("only what `playback_url` leads to hangs", holds=frozenset({Part.READ})),
    "hang_stat": Kind(
        "only `stat` and `stop` are not answered", holds=frozenset({Part.STAT, Part.STOP})
    ),
    "hang_stop": Kind("only `stop` is not answered", holds=frozenset({Part.STOP})),
    "slow_getstream": Kind(
        "starting playback is answered late", amount=Amount("seconds", 9, 0.1, 3600)
    ),
    "load_fails": Kind('starting playback fails: "failed to load content"'),
    "no_peers": Kind(
        "`stat` says no peers and no speed; a stream that has not played stays in `prebuf`"
        " and sends no headers, one that has stops",
        holds=frozenset({Part.PREBUFFER, Part.STREAM}),
    ),
    "not_found": Kind('what `playback_url` leads to is 500 "download not found"'),
    "stall": Kind(
        "readers stay connected and get no bytes, an HLS list stands still;"
        " `stat` says `speed_down` 0",
        holds=frozenset({Part.STREAM}),
    ),
    "cut": Kind(
        "a reader's connection is reset this long after its headers",
        amount=Amount("seconds", 0, 0, _DAY_S),
    ),
    "stat_unknown": Kind(
        '`stat` says "unknown playback session id", but the stream plays and `stop` works'
    ),
    "stop_unknown": Kind(
        '`stop` says "unknown playback session id" and stops nothing; `stat` works'
    ),
    "live_frozen": Kind(
        "`livepos` stands still, this far in the past, while bytes flow",
        amount=Amount("seconds", 0, 0, _DAY_S),
    ),
    "offline": Kind("`get_network_connection_status` says `false`", per_content=False),
    "deny_access": Kind('everything is 403 "deny access"', per_content=False),
    "html": Kind("an HTML page in place of every JSON document, still with 200"),
    "bad_json": Kind("every JSON document breaks off in its middle"),
    "bool_is_live": Kind("`is_live` and `is_encrypted` are booleans"),
    "wrong_host": Kind("`playback_url` names a host that is not there: the container's own"),
    "crash_after": Kind(
        "the process exits with code 1", per_content=False, amount=Amount("seconds", 5, 0, _DAY_S)
    ),
    "crash_on_getstream": Kind(
        "the n-th getstream is not answered: the process exits with code 1",
        amount=Amount("n", 1, 1, 1_000_000),
    ),
    "crash_on_stop": Kind("a `stop` is not answered: the process exits with code 1"),
    "ignore_sigterm": Kind("SIGTERM and SIGINT do nothing; SIGKILL does", per_content=False),
    "grow_memory": Kind(
        "memory grows, up to `--memory-limit`; it is given back when the fault ends",
        per_content=False,
        amount=Amount("MiB a minute", 60, 0.1, 100_000),
    ),
    "grow_cache": Kind(
        "a file in the cache folder grows, up to 2.1 GiB, and stays",
        per_content=False,
        amount=Amount("MiB a minute", 60, 0.1, 100_000),
    ),
    "burn_cpu": Kind(
        "a core is kept busy", per_content=False, amount=Amount("percent", 100, 1, 100)
    ),
    "leak_fds": Kind(
        "descriptors are opened, up to the limit; they are closed when the fault ends",
        per_content=False,
        amount=Amount("a minute", 600, 1, 1_000_000),
    ),
}

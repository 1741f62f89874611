"""Every setting, once: the fields of `Settings` are the table everything else comes from.

A field's name is the environment name in lower case.
"""

import difflib
import ipaddress
import re
import shlex
import string
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from acekeeper.errors import BadSetting

Runtime = Literal["process", "quadlet"]
Profile = Literal["none", "high-load", "constrained", "high-availability"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Secret:
    """Shows its value only to who asks for it by `reveal`."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True)
class Setting:
    parse: Callable[[str], object]  # raises ValueError with what is wrong: "is not …"
    default: str  # as an operator would write it; empty is unset
    allowed: str  # completes "Set it to …"
    help: str
    older_name: str = ""
    secret: bool = False


def _whole(
    default: int, low: int, high: int, text: str, *, unit: str = "", older_name: str = ""
) -> Setting:
    def parse(said: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", said):
            raise ValueError("is not a whole number")
        if not low <= int(said) <= high:
            raise ValueError("is out of range")
        return int(said)

    allowed = f"a whole number{unit and f' of {unit}'} from {low} to {high}"
    return Setting(parse, str(default), allowed, text, older_name)


def _seconds(
    default: float, low: float, high: float, text: str, *, older_name: str = ""
) -> Setting:
    def parse(said: str) -> float:
        if not re.fullmatch(r"-?([0-9]*\.)?[0-9]+", said):
            raise ValueError("is not a number of seconds")
        if not low <= float(said) <= high:
            raise ValueError("is out of range")
        return float(said)

    allowed = f"a number of seconds from {low:g} to {high:g}"
    return Setting(parse, f"{default:g}", allowed, text, older_name)


def _flag(default: str, text: str) -> Setting:
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}

    def parse(said: str) -> bool:
        if said.lower() not in words:
            raise ValueError("is neither true nor false")
        return words[said.lower()]

    return Setting(parse, default, "true or false", text)


def _choice(default: str, choices: tuple[str, ...], text: str) -> Setting:
    spellings = {choice.lower(): choice for choice in choices}

    def parse(said: str) -> str:
        if said.lower() not in spellings:
            raise ValueError("is not one of the choices")
        return spellings[said.lower()]

    return Setting(parse, default, f"{', '.join(choices[:-1])} or {choices[-1]}", text)


def _path(default: str, text: str) -> Setting:
    def parse(said: str) -> Path:
        try:
            path = Path(said).expanduser()
        except RuntimeError:
            raise ValueError("is in a home directory that is not known") from None
        if not path.is_absolute():
            raise ValueError("is not an absolute path")
        return path

    return Setting(parse, default, "an absolute path", text)


def _secret(text: str) -> Setting:
    def parse(said: str) -> Secret:
        if not re.fullmatch(r"[!-~]+", said):
            raise ValueError("has characters no header can carry (its value is not shown)")
        return Secret(said)

    return Setting(parse, "", "visible ASCII characters without spaces", text, secret=True)


def _address(default: str, text: str) -> Setting:
    def parse(said: str) -> str:
        if said.lower() == "localhost":
            return "localhost"
        try:
            return str(ipaddress.ip_address(said))
        except ValueError:
            raise ValueError("is not an IP address") from None

    return Setting(parse, default, "an IP address or localhost", text)


def _port_range(default: str, text: str) -> Setting:
    def parse(said: str) -> range:
        ends = re.fullmatch(r"([0-9]{1,5}) *- *([0-9]{1,5})", said)
        if not ends:
            raise ValueError("is not a range of ports")
        first, last = int(ends[1]), int(ends[2])
        if not 1024 <= first <= last <= 65535:
            raise ValueError("is out of range")
        return range(first, last + 1)

    return Setting(parse, default, f"first-last, as {default}, from 1024 to 65535", text)


def _image(text: str) -> Setting:
    # A tag may mean another image tomorrow, and one pool would run two of them.
    pinned = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}|(sha256:)?[0-9a-f]{64}")

    def parse(said: str) -> str:
        if not pinned.fullmatch(said):
            raise ValueError("names no image by its digest")
        return said

    return Setting(parse, "", "name@sha256:… or the full id of a loaded image", text)


def _command(default: str, text: str) -> Setting:
    ports = ("http_port", "https_port", "p2p_port", "api_port")

    def parse(said: str) -> tuple[str, ...]:
        try:
            words = shlex.split(said)
            parsed = [
                part for w in words if w != "{python}" for part in string.Formatter().parse(w)
            ]
        except ValueError as error:
            raise ValueError(f"is not a command line ({error})") from None
        placeholders = [part[1:] for part in parsed if part[1] is not None]
        for name, *formatting in placeholders:
            if name not in ports or any(formatting):
                raise ValueError(f"has the unknown placeholder {{{name}}}")
        if "http_port" not in [name for name, *_ in placeholders] or not words[0]:
            raise ValueError("lacks {http_port} or a program")
        python = sys.executable.replace("{", "{{").replace("}", "}}")
        return tuple(python if word == "{python}" else word for word in words)

    shown = ", ".join(f"{{{port}}}" for port in ports[1:])
    return Setting(parse, default, f"a command line with {{http_port}} and, if used, {shown}", text)


EMULATOR = (
    "{python} -m acekeeper.emulator --http-port {http_port} --https-port {https_port}"
    " --port {p2p_port} --api-port {api_port}"
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Comes from `load`. `sources` says by environment name where each value came from."""

    # From the requirements.
    api_request_timeout_s: Annotated[
        float, _seconds(30, 0.1, 3600, "Longest an ordinary API request may take.")
    ]
    api_long_operation_timeout_s: Annotated[
        float, _seconds(60, 0.1, 3600, "Longest a sweep, a scaling or a read of logs may take.")
    ]
    provision_timeout_s: Annotated[
        float, _seconds(120, 1, 3600, "Longest systemd may take to start an engine.")
    ]
    provision_startup_grace_s: Annotated[
        float,
        _seconds(
            30, 0.1, 3600, "How long a started engine may stay silent before its start failed."
        ),
    ]
    max_retries: Annotated[
        int,
        _whole(3, 0, 100, "How often a failed call to systemd, Podman or an engine is repeated."),
    ]
    retry_backoff_s: Annotated[
        float, _seconds(2, 0, 300, "Pause before the first repetition; each one after doubles it.")
    ]
    max_concurrent_provisions: Annotated[
        int, _whole(5, 1, 500, "Engines that may be starting at once.")
    ]
    min_provision_interval_s: Annotated[
        float, _seconds(0.5, 0, 300, "Shortest time between two starts.")
    ]
    health_check_interval_s: Annotated[
        float, _seconds(20, 0.1, 3600, "How often every engine is probed.")
    ]
    monitor_interval_s: Annotated[
        float, _seconds(10, 0.1, 3600, "How often every stream is looked at.")
    ]
    min_replicas: Annotated[int, _whole(1, 0, 500, "Free engines always kept.")]
    # Whole, since `/orchestrator/status` shows it and clients decode an integer there.
    engine_grace_period_s: Annotated[
        int,
        _whole(
            30,
            0,
            86400,
            "How long an engine is free before it may go as one too many.",
            unit="seconds",
        ),
    ]
    circuit_breaker_threshold: Annotated[
        int,
        _whole(
            5,
            1,
            1000,
            "Failed starts in a row that open the circuit breaker.",
            older_name="CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        ),
    ]
    circuit_breaker_timeout_s: Annotated[
        float,
        _seconds(
            300,
            0.1,
            86400,
            "How long the open breaker waits before it lets one start try.",
            older_name="CIRCUIT_BREAKER_RECOVERY_TIMEOUT_S",
        ),
    ]
    api_key: Annotated[
        Secret | None,
        _secret(
            "Clients send it as `Authorization: Bearer …`. Required unless `APP_HOST` is loopback."
        ),
    ]
    app_host: Annotated[str, _address("127.0.0.1", "Where the API listens.")]
    app_port: Annotated[int, _whole(8000, 1, 65535, "The port the API listens on.")]

    # From the systems its users come from.
    max_replicas: Annotated[
        int, _whole(20, 1, 500, "Engines at most, hung and draining ones included.")
    ]
    port_range_host: Annotated[
        range,
        _port_range(
            "19000-19999", "HTTP ports of the engines; its n-th port is slot n, counted from 0."
        ),
    ]
    auto_delete: Annotated[
        bool, _flag("true", "Whether free engines beyond `MIN_REPLICAS` are stopped.")
    ]
    health_failure_threshold: Annotated[
        int, _whole(3, 1, 100, "Failed probes in a row that make an engine unhealthy.")
    ]
    health_unhealthy_grace_period_s: Annotated[
        float, _seconds(60, 0, 86400, "How long an engine is unhealthy before it is replaced.")
    ]
    health_replacement_cooldown_s: Annotated[
        float,
        _seconds(
            60,
            0,
            86400,
            "In this time at most a quarter of the engines (at least one) is replaced.",
        ),
    ]
    stats_history_max: Annotated[
        int, _whole(720, 1, 100000, "Samples kept in memory for each stream.")
    ]
    max_streams_per_engine: Annotated[
        int, _whole(1, 1, 100, "Streams with which an engine is full.")
    ]
    target_image: Annotated[
        str | None, _image("The image of the engines. Required if `RUNTIME` is quadlet.")
    ]
    autoscale_interval_s: Annotated[
        float, _seconds(30, 0.1, 3600, "How often the number of engines is checked.")
    ]

    # Our own.
    runtime: Annotated[
        Runtime,
        _choice(
            "process",
            get_args(Runtime),
            "Who runs the engines: acekeeper as its children, or systemd in containers.",
        ),
    ]
    engine_command: Annotated[
        tuple[str, ...],
        _command(
            EMULATOR, "What runs as an engine if `RUNTIME` is process. `{python}` is this Python."
        ),
    ]
    state_dir: Annotated[
        Path,
        _path(
            "~/.local/state/acekeeper",
            "Database, engine files; shared with no other install. Follows `XDG_STATE_HOME`.",
        ),
    ]
    engine_host: Annotated[str, _address("127.0.0.1", "Where clients reach the engines.")]
    engine_https_base: Annotated[int, _whole(20000, 1024, 65535, "HTTPS port of slot 0.")]
    engine_p2p_base: Annotated[int, _whole(21000, 1024, 65535, "Peer-to-peer port of slot 0.")]
    engine_api_base: Annotated[int, _whole(22000, 1024, 65535, "API port of slot 0.")]
    unmanaged_stream_ttl_s: Annotated[
        float,
        _seconds(
            3600,
            1,
            604800,
            "How long a stream on an engine that is not ours is listed without word.",
        ),
    ]
    retention_days: Annotated[
        int,
        _whole(
            7,
            1,
            3650,
            "How long ended streams, samples and the log of events are kept.",
            unit="days",
        ),
    ]
    max_body_bytes: Annotated[
        int, _whole(8388608, 1024, 1073741824, "Longest request body taken.", unit="bytes")
    ]
    max_batch_events: Annotated[int, _whole(10000, 1, 1000000, "Most events taken in one batch.")]
    api_key_previous: Annotated[
        Secret | None, _secret("A second key that is valid while `API_KEY` is being changed.")
    ]
    log_level: Annotated[
        LogLevel, _choice("INFO", get_args(LogLevel), "The lowest level that is logged.")
    ]
    profile: Annotated[
        Profile,
        _choice("none", get_args(Profile), "Values for settings not given, from the table below."),
    ]
    settings_file: Annotated[
        Path | None,
        _path("", "A file of `NAME=value` lines, as systemd's `EnvironmentFile=` takes."),
    ]

    sources: Mapping[str, str] = field(repr=False, compare=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(v.reveal() for v in vars(self).values() if isinstance(v, Secret))


SETTINGS: Mapping[str, Setting] = {
    name.upper(): hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}

PROFILES: Mapping[Profile, Mapping[str, str]] = {
    "none": {},
    "high-load": {
        "API_REQUEST_TIMEOUT_S": "60",
        "PROVISION_TIMEOUT_S": "180",
        "MAX_RETRIES": "5",
        "RETRY_BACKOFF_S": "3",
        "MAX_CONCURRENT_PROVISIONS": "10",
        "MIN_PROVISION_INTERVAL_S": "0.2",
        "HEALTH_CHECK_INTERVAL_S": "15",
    },
    "constrained": {
        "API_REQUEST_TIMEOUT_S": "90",
        "PROVISION_TIMEOUT_S": "240",
        "MAX_CONCURRENT_PROVISIONS": "3",
        "MIN_PROVISION_INTERVAL_S": "1",
        "HEALTH_CHECK_INTERVAL_S": "60",
        "CIRCUIT_BREAKER_THRESHOLD": "3",
        "CIRCUIT_BREAKER_TIMEOUT_S": "600",
    },
    "high-availability": {
        "MAX_RETRIES": "10",
        "RETRY_BACKOFF_S": "2",
        "MAX_CONCURRENT_PROVISIONS": "8",
        "HEALTH_CHECK_INTERVAL_S": "10",
        "MONITOR_INTERVAL_S": "5",
        "MIN_REPLICAS": "5",
        "ENGINE_GRACE_PERIOD_S": "15",
    },
}


def load(environ: Mapping[str, str]) -> Settings:
    layers = {"environment": environ}
    file, _ = _find("SETTINGS_FILE", layers)
    if file:
        layers["settings file"] = _read(file)
    profile, _ = _find("PROFILE", layers)
    if profile:
        layers[f"profile {profile}"] = PROFILES[profile]
    defaults = {name: setting.default for name, setting in SETTINGS.items()}
    # The XDG specification has a relative path ignored.
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        defaults["STATE_DIR"] = environ["XDG_STATE_HOME"] + "/acekeeper"
    layers["default"] = defaults

    found = {name: _find(name, layers) for name in SETTINGS}
    values: dict[str, Any] = {name.lower(): value for name, (value, _) in found.items()}
    settings = Settings(**values, sources={name: source for name, (_, source) in found.items()})
    _check(settings)
    return settings


def _find(name: str, layers: Mapping[str, Mapping[str, str]]) -> tuple[Any, str]:
    """The value and where it came from. Empty is unset, as in Docker's and systemd's files."""
    setting = SETTINGS[name]
    for source, layer in layers.items():
        for spelling in (name, setting.older_name):
            if said := layer.get(spelling, "").strip():
                return _parse(spelling, setting, said), source
    return None, "default"


def _parse(spelling: str, setting: Setting, said: str) -> object:
    try:
        if not said.isprintable():
            raise ValueError("has a control character in it")
        return setting.parse(said)
    except ValueError as error:
        shown = "" if setting.secret else f"={said if said.isprintable() else ascii(said)[1:-1]}"
        raise BadSetting(f"{spelling}{shown} {error}", f"Set it to {setting.allowed}") from None


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise BadSetting(f"SETTINGS_FILE={path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSetting(f"SETTINGS_FILE={path} is not UTF-8 text") from None
    known = {*SETTINGS, *(s.older_name for s in SETTINGS.values())} - {"", "SETTINGS_FILE"}
    said = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name[0] in "#;":
            continue
        # The line is not shown: it may be half a secret.
        where = f"SETTINGS_FILE={path}, line {number},"
        if not equals:
            raise BadSetting(f"{where} is not NAME=value")
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            hint = f"Did you mean {near[0]}?" if near else "docs/settings.md lists them all"
            raise BadSetting(f"{where} sets {name}, which is no setting", hint)
        try:
            said[name] = _unquote(value)
        except ValueError as error:
            raise BadSetting(f"{where} {error}", "Write each value on one line") from None
    return said


def _unquote(value: str) -> str:
    """As systemd does it: quotes count at the start only, backslashes all but in single quotes."""
    parts = []
    while quoted := re.match(r"""\s*(?:'([^']*)'|"((?:[^"\\]|\\.)*)")""", value):
        single, double = quoted.groups()
        parts.append(re.sub(r'\\(["\\`$])', r"\1", double) if single is None else single)
        value = value[quoted.end() :]
    value = value.strip()
    if value[:1] in ("'", '"'):
        raise ValueError("has a quote that is not closed")
    if not re.fullmatch(r"([^\\]|\\.)*", value):
        raise ValueError("ends in a backslash")
    return "".join(parts) + re.sub(r"\\(.)", r"\1", value)


def _check(s: Settings) -> None:
    """What no setting can tell alone."""
    if s.min_replicas > s.max_replicas:
        raise BadSetting(
            f"{_said(s, 'MIN_REPLICAS')} is more than {_said(s, 'MAX_REPLICAS')}",
            "Lower the first or raise the second",
        )
    slots = len(s.port_range_host)
    if s.max_replicas > slots:
        raise BadSetting(
            f"{_said(s, 'MAX_REPLICAS')} is more than the {slots} ports of PORT_RANGE_HOST",
            "Lower the first or widen the second",
        )
    ports = {"APP_PORT": range(s.app_port, s.app_port + 1), "PORT_RANGE_HOST": s.port_range_host}
    for name in ("ENGINE_HTTPS_BASE", "ENGINE_P2P_BASE", "ENGINE_API_BASE"):
        base: int = getattr(s, name.lower())
        ports[name] = range(base, base + slots)
        if base + slots - 1 > 65535:
            raise BadSetting(
                f"{_said(s, name)} leaves no room for the {slots} slots of PORT_RANGE_HOST",
                f"Set it to {65536 - slots} at most or narrow the range",
            )
    for (name, first), (other, second) in combinations(ports.items(), 2):
        if first.start < second.stop and second.start < first.stop:
            raise BadSetting(
                f"{name} ({first[0]}-{first[-1]}) overlaps {other} ({second[0]}-{second[-1]})",
                "Move one of them or narrow PORT_RANGE_HOST",
            )
    loopback = s.app_host == "localhost" or ipaddress.ip_address(s.app_host).is_loopback
    if not loopback and not s.api_key:
        raise BadSetting(
            f"APP_HOST={s.app_host} can be reached from outside and there is no API_KEY",
            "Set API_KEY, or APP_HOST to 127.0.0.1",
        )
    if s.api_key_previous and not s.api_key:
        raise BadSetting("API_KEY_PREVIOUS is set and API_KEY is not", "Set API_KEY as well")
    if s.runtime == "quadlet" and not s.target_image:
        raise BadSetting(
            "TARGET_IMAGE is not set and RUNTIME=quadlet needs it",
            f"Set it to {SETTINGS['TARGET_IMAGE'].allowed}",
        )


def _said(s: Settings, name: str) -> str:
    return f"{name}={getattr(s, name.lower())} ({s.sources[name]})"

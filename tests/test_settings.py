import re
import runpy
import sys
from ipaddress import ip_network
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acekeeper.errors import BadSetting
from acekeeper.profiles import PROFILES
from acekeeper.settings import SETTINGS, Settings, load

ROOT = Path(__file__).parent.parent
KEY = "k-51!{\"'\\"
IMAGE = "registry.example:5000/ace/engine@sha256:" + "0123456789abcdef" * 4


def write(directory: Path, text: str) -> dict[str, str]:
    file = directory / "acekeeper.env"
    file.write_text(text)
    return {"SETTINGS_FILE": str(file)}


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(BadSetting) as caught:
        load(environ)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults() -> None:
    """The wire contract's §4, whole."""
    defaults = {name: setting.kind.default for name, setting in SETTINGS.items()}
    assert defaults == {
        "API_REQUEST_TIMEOUT_S": "30",
        "API_LONG_OPERATION_TIMEOUT_S": "60",
        "PROVISION_TIMEOUT_S": "120",
        "PROVISION_STARTUP_GRACE_S": "30",
        "MAX_RETRIES": "3",
        "RETRY_BACKOFF_S": "2",
        "MAX_CONCURRENT_PROVISIONS": "5",
        "MIN_PROVISION_INTERVAL_S": "0.5",
        "HEALTH_CHECK_INTERVAL_S": "20",
        "MONITOR_INTERVAL_S": "10",
        "MIN_REPLICAS": "1",
        "ENGINE_GRACE_PERIOD_S": "30",
        "CIRCUIT_BREAKER_THRESHOLD": "5",
        "CIRCUIT_BREAKER_TIMEOUT_S": "300",
        "API_KEY": "",
        "APP_HOST": "127.0.0.1",
        "APP_PORT": "8000",
        "MAX_REPLICAS": "20",
        "PORT_RANGE_HOST": "19000-19999",
        "AUTO_DELETE": "true",
        "HEALTH_FAILURE_THRESHOLD": "3",
        "HEALTH_UNHEALTHY_GRACE_PERIOD_S": "60",
        "HEALTH_REPLACEMENT_COOLDOWN_S": "60",
        "STATS_HISTORY_MAX": "720",
        "MAX_STREAMS_PER_ENGINE": "1",
        "TARGET_IMAGE": "",
        "AUTOSCALE_INTERVAL_S": "30",
        "RUNTIME": "process",
        "ENGINE_COMMAND": "{python} -m acekeeper.emulator --http-host {addresses}"
        " --http-port {http_port} --https-port {https_port} --port {p2p_port}"
        " --api-port {api_port}",
        "STATE_DIR": "~/.local/state/acekeeper",
        "ENGINE_HOST": "127.0.0.1",
        "ENGINE_HTTPS_BASE": "20000",
        "ENGINE_P2P_BASE": "21000",
        "ENGINE_API_BASE": "22000",
        "ENGINE_MEMORY_MAX": "",
        "ENGINE_CPU_WEIGHT": "100",
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": "6878",
        "GATEWAY_ALLOW": "",
        "GATEWAY_WAIT_S": "9",
        "GATEWAY_HEDGE_S": "3",
        "GATEWAY_IDLE_S": "20",
        "GATEWAY_ALLOW_URLS": "false",
        "VPNS": "",
        "VPN_SLOTS": "20",
        "VPN_CONTROL_BASE": "8100",
        "VPN_HEALTH_BASE": "8200",
        "VPN_API_KEY": "",
        "VPN_CHECK_INTERVAL_S": "5",
        "VPN_PORT_SETTLE_S": "120",
        "FLEET_NAME": "",
        "FLEET_HOST": "",
        "FLEET_SERVERS": "",
        "FLEET_ADDRESS": "127.0.0.1",
        "FLEET_CERTIFICATES": "",
        "UNMANAGED_STREAM_TTL_S": "3600",
        "RETENTION_DAYS": "7",
        "MAX_BODY_BYTES": str(8 * 1024 * 1024),
        "MAX_BATCH_EVENTS": "10000",
        "API_KEY_PREVIOUS": "",
        "API_KEY_READ": "",
        "LOG_LEVEL": "INFO",
        "PROFILE": "none",
        "SETTINGS_FILE": "",
    }


def well_typed(value: object, hint: Any) -> bool:
    if origin := get_origin(hint):
        if origin is tuple and get_origin(get_args(hint)[0]) is tuple:
            return isinstance(value, tuple) and all(well_typed(v, get_args(hint)[0]) for v in value)
        if origin is tuple:
            members = get_args(get_args(hint)[0]) or get_args(hint)
            return isinstance(value, tuple) and all(type(v) in members for v in value)
        if isinstance(origin, type) and origin is not UnionType:
            return isinstance(value, origin)
        options = get_args(hint)
        return value in options or any(
            isinstance(o, type) and isinstance(value, o) for o in options
        )
    return type(value) is hint or (hint is Path and isinstance(value, Path))


def assert_well_typed(settings: Settings) -> None:
    hints = get_type_hints(Settings)
    for name in SETTINGS:
        value = getattr(settings, name.lower())
        assert well_typed(value, hints[name.lower()]), (name, value)


NETWORKS = tuple(map(ip_network, ("192.0.2.0/24", "2001:db8::/32", "10.1.2.3/32")))
GIVEN = [
    ("MIN_REPLICAS", "0", 0),
    ("MIN_REPLICAS", " 007 ", 7),
    ("MIN_PROVISION_INTERVAL_S", "1", 1.0),
    ("MIN_PROVISION_INTERVAL_S", ".25", 0.25),
    ("AUTO_DELETE", "No", False),
    ("AUTO_DELETE", "off", False),
    ("AUTO_DELETE", "0", False),
    ("AUTO_DELETE", "YES", True),
    ("AUTO_DELETE", "on", True),
    ("AUTO_DELETE", "1", True),
    ("LOG_LEVEL", "debug", "DEBUG"),
    ("PORT_RANGE_HOST", "19000-19099", range(19000, 19100)),
    ("APP_HOST", "LocalHost", "localhost"),
    ("APP_HOST", "::1", "::1"),
    ("APP_HOST", "127.0.0.2", "127.0.0.2"),
    ("ENGINE_HOST", " 192.0.2.5, localhost,192.0.2.5", ("127.0.0.1", "192.0.2.5")),
    ("ENGINE_HOST", "192.0.2.5,0.0.0.0", ("0.0.0.0",)),
    ("STATE_DIR", "/var/lib/acekeeper", Path("/var/lib/acekeeper")),
    ("TARGET_IMAGE", IMAGE, IMAGE),
    ("TARGET_IMAGE", "ab" * 32, "ab" * 32),
    ("TARGET_IMAGE", "sha256:" + "ab" * 32, "sha256:" + "ab" * 32),
    ("ENGINE_COMMAND", "run 'a b' -p{http_port}", ("run", "a b", "-p{http_port}")),
    ("ENGINE_COMMAND", "{python} {http_port} {{x}}", (sys.executable, "{http_port}", "{{x}}")),
    ("GATEWAY_HOST", "localhost", ("127.0.0.1",)),
    ("GATEWAY_HOST", "127.0.0.2, 127.0.0.1,127.0.0.2", ("127.0.0.1", "127.0.0.2")),
    ("GATEWAY_PORT", "0", 0),
    ("GATEWAY_ALLOW", "", ()),
    ("GATEWAY_ALLOW", "192.0.2.0/24, 2001:db8::/32,10.1.2.3", NETWORKS),
    ("GATEWAY_WAIT_S", "0.5", 0.5),
    ("GATEWAY_ALLOW_URLS", "yes", True),
    ("VPNS", "", ()),
    ("VPNS", "de, ch-2,0", ("de", "ch-2", "0")),
    ("VPN_PORT_SETTLE_S", "0", 0.0),
    ("FLEET_HOST", "", ""),
    ("FLEET_HOST", "den-2", "den-2"),
    ("FLEET_SERVERS", "", ()),
    (
        "FLEET_SERVERS",
        "192.0.2.10:4222, 192.0.2.11:1,192.0.2.10:4222",
        (("192.0.2.10", 4222), ("192.0.2.11", 1)),
    ),
    ("FLEET_ADDRESS", "192.0.2.10", "192.0.2.10"),
    ("FLEET_CERTIFICATES", "", None),
    ("FLEET_CERTIFICATES", "/etc/acekeeper/fleet", Path("/etc/acekeeper/fleet")),
    ("ENGINE_MEMORY_MAX", "1G", 1024),
    ("ENGINE_MEMORY_MAX", "256m", 256),
    ("ENGINE_MEMORY_MAX", "", None),
    ("API_KEY", "", None),
    ("MIN_REPLICAS", "", 1),
    ("MIN_REPLICAS", "  ", 1),
]


@pytest.mark.parametrize(("name", "said", "value"), GIVEN)
def test_value(name: str, said: str, value: object) -> None:
    settings = load({name: said})
    assert getattr(settings, name.lower()) == value
    assert settings.sources[name] == ("environment" if said.strip() else "default")


REFUSED = [
    ("MIN_REPLICAS", "abc", "is not a whole number"),
    ("MIN_REPLICAS", "1_0", "is not a whole number"),
    ("MIN_REPLICAS", "1.0", "is not a whole number"),
    ("MIN_REPLICAS", "٣", "is not a whole number"),
    ("MIN_REPLICAS", "9" * 5000, "is not a whole number"),
    ("MIN_REPLICAS", "-1", "is out of range"),
    ("MIN_REPLICAS", "501", "is out of range"),
    ("MIN_REPLICAS", "1\x1b[31m", "has a control character in it"),
    ("RETRY_BACKOFF_S", "nan", "is not a number of seconds"),
    ("RETRY_BACKOFF_S", "inf", "is not a number of seconds"),
    ("RETRY_BACKOFF_S", "1e2", "is not a number of seconds"),
    ("RETRY_BACKOFF_S", "9" * 400, "is out of range"),
    ("RETRY_BACKOFF_S", "-0.5", "is out of range"),
    ("AUTO_DELETE", "maybe", "is neither true nor false"),
    ("RUNTIME", "docker", "is not one of the choices"),
    ("PROFILE", "fast", "is not one of the choices"),
    ("APP_HOST", "example.org", "is not an IP address"),
    ("ENGINE_HOST", "192.0.2.5,::1", "is not a list of IPv4 addresses"),
    ("ENGINE_HOST", "192.0.2.5;192.0.2.6", "is not a list of IPv4 addresses"),
    ("APP_PORT", "0", "is out of range"),
    ("PORT_RANGE_HOST", "19000", "is not a range of ports"),
    ("PORT_RANGE_HOST", "19999-19000", "is out of range"),
    ("PORT_RANGE_HOST", "80-90", "is out of range"),
    ("PORT_RANGE_HOST", "65000-65536", "is out of range"),
    ("STATE_DIR", "state", "is not an absolute path"),
    ("STATE_DIR", "~nobody-has-this-name/state", "is in a home directory that is not known"),
    ("TARGET_IMAGE", "ace/engine:latest", "names no image by its digest"),
    ("ENGINE_COMMAND", "engine 'x", "is not a command line"),
    ("ENGINE_COMMAND", "engine {http_port", "is not a command line"),
    ("ENGINE_COMMAND", "engine --port 6878", "lacks {http_port}"),
    ("ENGINE_COMMAND", "'' {http_port}", "lacks {http_port} or a program"),
    ("ENGINE_COMMAND", "engine {http_port} {port}", "has the unknown placeholder {port}"),
    ("ENGINE_COMMAND", "engine {http_port} {}", "has the unknown placeholder {}"),
    ("ENGINE_COMMAND", "engine {http_port} x{python}", "has the unknown placeholder {python}"),
    ("ENGINE_COMMAND", "engine {http_port:>9}", "has the unknown placeholder {http_port}"),
    ("GATEWAY_HOST", "127.0.0.1,", "is not a list of IPv4 addresses"),
    ("GATEWAY_HOST", "example.org", "is not a list of IPv4 addresses"),
    ("GATEWAY_HOST", "192.0.2.0/24", "is not a list of IPv4 addresses"),
    ("GATEWAY_HOST", "::1", "is not a list of IPv4 addresses"),
    ("GATEWAY_HOST", "127.0.0.1,::", "is not a list of IPv4 addresses"),
    ("GATEWAY_PORT", "-1", "is out of range"),
    ("GATEWAY_PORT", "65536", "is out of range"),
    ("GATEWAY_ALLOW", "192.0.2.1/24", "is not a list of networks"),
    ("GATEWAY_ALLOW", "192.0.2.0/33", "is not a list of networks"),
    ("GATEWAY_ALLOW", "192.0.2.0/24,", "is not a list of networks"),
    ("GATEWAY_ALLOW", "example.org", "is not a list of networks"),
    ("GATEWAY_WAIT_S", "0", "is out of range"),
    ("GATEWAY_WAIT_S", "301", "is out of range"),
    ("GATEWAY_HEDGE_S", "soon", "is not a number of seconds"),
    ("GATEWAY_HEDGE_S", "0", "is out of range"),
    ("GATEWAY_IDLE_S", "0.5", "is out of range"),
    ("GATEWAY_ALLOW_URLS", "2", "is neither true nor false"),
    ("VPNS", "de,", "is not a list of names"),
    ("VPNS", "DE", "is not a list of names"),
    ("VPNS", "-de", "is not a list of names"),
    ("VPNS", "d_e", "is not a list of names"),
    ("VPNS", "x" * 33, "is not a list of names"),
    ("VPNS", "de,ch,de", "names one twice"),
    ("VPN_SLOTS", "0", "is out of range"),
    ("VPN_CONTROL_BASE", "80", "is out of range"),
    ("VPN_HEALTH_BASE", "65536", "is out of range"),
    ("VPN_CHECK_INTERVAL_S", "0", "is out of range"),
    ("FLEET_NAME", "Home", "is not a valid name"),
    ("FLEET_NAME", "a.b", "is not a valid name"),
    ("FLEET_NAME", "*", "is not a valid name"),
    ("FLEET_HOST", "a-", "is not a valid name"),
    ("FLEET_HOST", "x" * 64, "is not a valid name"),
    ("FLEET_SERVERS", "192.0.2.10", "is not a list of servers"),
    ("FLEET_SERVERS", "192.0.2.10:4222,", "is not a list of servers"),
    ("FLEET_SERVERS", "192.0.2.300:4222", "is not a list of servers"),
    ("FLEET_SERVERS", "192.0.2.10:0", "is not a list of servers"),
    ("FLEET_SERVERS", "192.0.2.10:65536", "is not a list of servers"),
    ("FLEET_SERVERS", "example.org:4222", "is not a list of servers"),
    ("FLEET_ADDRESS", "192.0.2.10/24", "is not an IPv4 address"),
    ("FLEET_ADDRESS", "2001:db8::1", "is not an IPv4 address"),
    ("FLEET_CERTIFICATES", "fleet", "is not an absolute path"),
    ("ENGINE_MEMORY_MAX", "255M", "is less than an engine needs"),
    ("ENGINE_MEMORY_MAX", "1073741824", "is not a size such as 1G"),
    ("ENGINE_MEMORY_MAX", "1.5G", "is not a size such as 1G"),
    ("ENGINE_MEMORY_MAX", "-1G", "is not a size such as 1G"),
    ("ENGINE_CPU_WEIGHT", "0", "is out of range"),
    ("ENGINE_CPU_WEIGHT", "10001", "is out of range"),
    ("SETTINGS_FILE", "/nowhere/acekeeper.env", "cannot be read: No such file or directory"),
]


@pytest.mark.parametrize(("name", "said", "wrong"), REFUSED)
def test_bad_value(name: str, said: str, wrong: str) -> None:
    text = refusal({name: said})
    assert text.startswith(f"{name}={said[:3] if said.isprintable() else said[:1]}")
    assert wrong in text
    assert ". Set it to " in text
    assert len(text) < 500


def test_bad_value_is_told_with_what_is_allowed() -> None:
    expected = "MIN_REPLICAS=abc is not a whole number. Set it to a whole number from 0 to 500"
    assert refusal({"MIN_REPLICAS": "abc"}) == expected


FLEET = {
    "FLEET_NAME": "home",
    "FLEET_HOST": "den",
    "FLEET_SERVERS": "192.0.2.10:4222",
    "FLEET_ADDRESS": "192.0.2.11",
    "FLEET_CERTIFICATES": "/etc/acekeeper/fleet",
    "ENGINE_HOST": "192.0.2.11",
    "GATEWAY_HOST": "192.0.2.11",
    "GATEWAY_ALLOW": "192.0.2.0/24",
}
CLASHES = [
    (
        {"MIN_REPLICAS": "9", "MAX_REPLICAS": "8"},
        "MIN_REPLICAS=9 (environment) is more than MAX_REPLICAS=8 (environment)",
    ),
    (
        {"PROFILE": "high-availability", "MAX_REPLICAS": "4"},
        "MIN_REPLICAS=5 (profile high-availability) is more than MAX_REPLICAS=4 (environment)",
    ),
    (
        {"PORT_RANGE_HOST": "19000-19018"},
        "MAX_REPLICAS=20 (default) is more than the 19 ports of PORT_RANGE_HOST",
    ),
    (
        {"ENGINE_API_BASE": "64537"},
        "ENGINE_API_BASE=64537 (environment) leaves no room for the 1000 slots",
    ),
    (
        {"PORT_RANGE_HOST": "19000-20000"},
        "PORT_RANGE_HOST (19000-20000) overlaps ENGINE_HTTPS_BASE (20000-21000)",
    ),
    (
        {"ENGINE_P2P_BASE": "22999"},
        "ENGINE_P2P_BASE (22999-23998) overlaps ENGINE_API_BASE (22000-22999)",
    ),
    ({"APP_PORT": "19999"}, "APP_PORT (19999-19999) overlaps PORT_RANGE_HOST"),
    ({"APP_PORT": "22000"}, "APP_PORT (22000-22000) overlaps ENGINE_API_BASE"),
    ({"GATEWAY_PORT": "8000"}, "APP_PORT (8000-8000) overlaps GATEWAY_PORT (8000-8000)"),
    ({"GATEWAY_PORT": "19000"}, "overlaps GATEWAY_PORT (19000-19000)"),
    ({"GATEWAY_PORT": "22999"}, "GATEWAY_PORT (22999-22999) overlaps ENGINE_API_BASE"),
    (
        {"GATEWAY_HOST": "127.0.0.2,192.0.2.1"},
        "GATEWAY_HOST=192.0.2.1 can be reached from outside and there is no GATEWAY_ALLOW",
    ),
    ({"GATEWAY_HOST": "0.0.0.0"}, "GATEWAY_HOST=0.0.0.0 can be reached from outside"),
    ({"APP_HOST": "0.0.0.0"}, "APP_HOST=0.0.0.0 can be reached from outside"),
    ({"APP_HOST": "::"}, "APP_HOST=:: can be reached from outside"),
    ({"APP_HOST": "::ffff:192.0.2.1"}, "can be reached from outside"),
    ({"API_KEY_PREVIOUS": KEY}, "API_KEY_PREVIOUS is set and API_KEY is not"),
    ({"API_KEY_READ": KEY}, "API_KEY_READ is set and API_KEY is not"),
    ({"API_KEY": KEY, "API_KEY_READ": KEY}, "API_KEY_READ is the key that may change all"),
    (
        {"API_KEY": "k", "API_KEY_PREVIOUS": KEY, "API_KEY_READ": KEY},
        "API_KEY_READ is the key that may change all",
    ),
    ({"RUNTIME": "quadlet"}, "TARGET_IMAGE is not set and RUNTIME=quadlet needs it"),
    (
        {"VPNS": "de,ch", "VPN_SLOTS": "501"},
        "VPN_SLOTS=501 (environment) for each of the 2 VPNS is more than the 1000 ports",
    ),
    (
        {"VPNS": "de,ch", "VPN_SLOTS": "9"},
        "MAX_REPLICAS=20 (default) is more than the 18 slots that VPN_SLOTS=9 (environment) gives",
    ),
    (
        {"VPNS": "de,ch", "VPN_CONTROL_BASE": "65535"},
        "VPN_CONTROL_BASE=65535 (environment) leaves no room for the 2 VPNS",
    ),
    (
        {"VPNS": "de,ch", "VPN_CONTROL_BASE": "8199"},
        "VPN_CONTROL_BASE (8199-8200) overlaps VPN_HEALTH_BASE (8200-8201). Move one of them",
    ),
    ({"VPNS": "de,ch", "VPN_HEALTH_BASE": "7999"}, "APP_PORT (8000-8000) overlaps VPN_HEALTH_BASE"),
    ({"VPNS": "de", "VPN_CONTROL_BASE": "19999"}, "overlaps VPN_CONTROL_BASE (19999-19999)"),
    (FLEET | {"FLEET_HOST": ""}, "FLEET_HOST is not set and FLEET_NAME needs it"),
    (FLEET | {"FLEET_SERVERS": ""}, "FLEET_SERVERS is not set and FLEET_NAME needs it"),
    (
        FLEET | {"GATEWAY_PORT": "0"},
        "GATEWAY_PORT=0 turns the gateway off, and FLEET_NAME needs it",
    ),
    (FLEET | {"ENGINE_HOST": "192.0.2.12"}, "ENGINE_HOST lacks FLEET_ADDRESS=192.0.2.11"),
    (FLEET | {"GATEWAY_HOST": ""}, "GATEWAY_HOST lacks FLEET_ADDRESS=192.0.2.11"),
    (
        FLEET | {"FLEET_CERTIFICATES": ""},
        "FLEET_SERVERS has 192.0.2.10, not on loopback, and there is no FLEET_CERTIFICATES",
    ),
    (
        FLEET | {"FLEET_ADDRESS": ""},
        "FLEET_ADDRESS=127.0.0.1 (default) is not an address that other hosts can reach",
    ),
]


def test_a_narrower_range_is_proposed_only_where_it_helps() -> None:
    proposed = "or narrow PORT_RANGE_HOST"
    assert proposed in refusal({"APP_PORT": "19000"})
    assert proposed in refusal({"VPNS": "de", "VPN_HEALTH_BASE": "20500"})
    assert proposed not in refusal({"VPNS": "de", "APP_PORT": "8100"})


@pytest.mark.parametrize(("environ", "wrong"), CLASHES)
def test_values_that_do_not_go_together(environ: dict[str, str], wrong: str) -> None:
    assert wrong in refusal(environ)


AT_THE_LIMIT: list[dict[str, str]] = [
    {"MIN_REPLICAS": "20"},
    {"PORT_RANGE_HOST": "19000-19019"},
    {"ENGINE_API_BASE": "64536"},
    {"ENGINE_P2P_BASE": "23000"},
    {"APP_PORT": "18999"},
    {"APP_PORT": "23000"},
    {"APP_HOST": "0.0.0.0", "API_KEY": "k"},
    {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_ALLOW": "0.0.0.0/0"},
    {"GATEWAY_HOST": "127.9.9.9"},
    {"GATEWAY_HOST": "192.0.2.1", "GATEWAY_PORT": "0"},
    {"API_KEY": KEY, "API_KEY_PREVIOUS": "k", "API_KEY_READ": "r"},
    {"RUNTIME": "quadlet", "TARGET_IMAGE": IMAGE},
    {"VPNS": "de,ch", "VPN_SLOTS": "500"},
    {"VPNS": "de,ch", "VPN_SLOTS": "10"},
    {"VPNS": "de,ch", "VPN_CONTROL_BASE": "65534"},
    {"VPNS": "de,ch", "VPN_CONTROL_BASE": "8198"},
    {"VPN_SLOTS": "1", "VPN_CONTROL_BASE": "8000"},
    FLEET,
    FLEET | {"ENGINE_HOST": "0.0.0.0", "GATEWAY_HOST": "0.0.0.0"},
    FLEET | {"FLEET_SERVERS": "127.0.0.1:4222", "FLEET_ADDRESS": "", "FLEET_CERTIFICATES": ""},
    {"FLEET_HOST": "den", "GATEWAY_PORT": "0"},
]


@pytest.mark.parametrize("environ", AT_THE_LIMIT)
def test_values_that_just_go_together(environ: dict[str, str]) -> None:
    load(environ)


def test_precedence(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "PROFILE=high-load\nMAX_RETRIES=7\nRETRY_BACKOFF_S=8\nMIN_REPLICAS=9\nMAX_REPLICAS=\n",
    )
    settings = load(file | {"RETRY_BACKOFF_S": "1", "MIN_REPLICAS": ""})
    names = ["RETRY_BACKOFF_S", "MAX_RETRIES", "MIN_REPLICAS", "PROVISION_TIMEOUT_S"]
    assert {name: (getattr(settings, name.lower()), settings.sources[name]) for name in names} == {
        "RETRY_BACKOFF_S": (1, "environment"),
        "MAX_RETRIES": (7, "settings file"),
        "MIN_REPLICAS": (9, "settings file"),
        "PROVISION_TIMEOUT_S": (180, "profile high-load"),
    }
    assert (settings.max_replicas, settings.sources["MAX_REPLICAS"]) == (20, "default")
    assert load(file | {"PROFILE": "constrained"}).provision_timeout_s == 240


# Copied from the requirements' tuning guide.
TUNING_GUIDE = {
    "high-load": """
        MAX_CONCURRENT_PROVISIONS=10 MIN_PROVISION_INTERVAL_S=0.2 API_REQUEST_TIMEOUT_S=60
        PROVISION_TIMEOUT_S=180 HEALTH_CHECK_INTERVAL_S=15 MAX_RETRIES=5 RETRY_BACKOFF_S=3""",
    "constrained": """
        MAX_CONCURRENT_PROVISIONS=3 MIN_PROVISION_INTERVAL_S=1.0 API_REQUEST_TIMEOUT_S=90
        PROVISION_TIMEOUT_S=240 HEALTH_CHECK_INTERVAL_S=60 CIRCUIT_BREAKER_THRESHOLD=3
        CIRCUIT_BREAKER_TIMEOUT_S=600""",
    "high-availability": """
        HEALTH_CHECK_INTERVAL_S=10 MONITOR_INTERVAL_S=5 MIN_REPLICAS=5
        MAX_CONCURRENT_PROVISIONS=8 ENGINE_GRACE_PERIOD_S=15 MAX_RETRIES=10 RETRY_BACKOFF_S=2""",
}


@pytest.mark.parametrize("profile", PROFILES)
def test_profile(profile: str) -> None:
    by_profile = load({"PROFILE": profile})
    by_hand = load(dict(pair.split("=") for pair in TUNING_GUIDE.get(profile, "").split()))
    for name in SETTINGS.keys() - {"PROFILE"}:
        assert getattr(by_profile, name.lower()) == getattr(by_hand, name.lower()), name
    from_profile = [n for n, source in by_profile.sources.items() if source == f"profile {profile}"]
    assert len(from_profile) == len(TUNING_GUIDE.get(profile, "").split())


def test_older_names(tmp_path: Path) -> None:
    old = {
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "8",
        "CIRCUIT_BREAKER_RECOVERY_TIMEOUT_S": "90",
    }
    settings = load(old | {"PROFILE": "constrained"})
    assert (settings.circuit_breaker_threshold, settings.circuit_breaker_timeout_s) == (8, 90)
    settings = load(old | {"CIRCUIT_BREAKER_THRESHOLD": "4", "CIRCUIT_BREAKER_TIMEOUT_S": "50"})
    assert (settings.circuit_breaker_threshold, settings.circuit_breaker_timeout_s) == (4, 50)
    assert (
        load(write(tmp_path, "CIRCUIT_BREAKER_FAILURE_THRESHOLD=6")).circuit_breaker_threshold == 6
    )
    assert refusal({"CIRCUIT_BREAKER_FAILURE_THRESHOLD": "x"}).startswith(
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD=x is not"
    )


FILE_VALUES = [
    ("x", "x"),
    ("  x y  ", "x y"),
    ("'x \\y'", "x \\y"),
    ('"x y"', "x y"),
    (r'"x \" \\ \$ \` \n"', r'x " \ $ ` \n'),
    (r"x\ y\\", "x y\\"),
    ('x "y z"', 'x "y z"'),
    ("'x'\"y\" z", "xyz"),
    ("x # no comment", "x # no comment"),
    ("x=y", "x=y"),
    ("''", ""),
]


@pytest.mark.parametrize(("written", "meant"), FILE_VALUES)
def test_quotes_in_the_settings_file_are_read_as_systemd_reads_them(
    tmp_path: Path, written: str, meant: str
) -> None:
    settings = load(write(tmp_path, f"STATE_DIR=/{written}\nMIN_REPLICAS=2"))
    assert settings.min_replicas == 2
    # The slash before makes every value a path, but quotes count at the start only.
    settings = load(write(tmp_path, f"ENGINE_COMMAND={written}")) if not meant else settings
    from acekeeper.settings_file import read

    file = Path(write(tmp_path, f"A={written}\n")["SETTINGS_FILE"])
    assert read(file, {"A"}) == {"A": meant}


def test_comments_and_blanks_in_the_settings_file(tmp_path: Path) -> None:
    text = "# MIN_REPLICAS=2\n; MIN_REPLICAS=3\n\n  # x\n MIN_REPLICAS = 4 \r\nMIN_REPLICAS=5"
    assert load(write(tmp_path, text)).min_replicas == 5


BAD_LINES = [
    ("MIN_REPLICA=1", "line 2, sets MIN_REPLICA, which is no setting. Did you mean MIN_REPLICAS?"),
    ("min_replicas=1", "Did you mean MIN_REPLICAS?"),
    ("QWERTYUIOP=1", "line 2, sets QWERTYUIOP, which is no setting. docs/settings.md"),
    ("SETTINGS_FILE=/other", "line 2, sets SETTINGS_FILE, which is no setting"),
    ("export MIN_REPLICAS=1", "line 2, is not NAME=value"),
    ("=1", "line 2, is not NAME=value"),
    (f"API_KEY {KEY}", "line 2, is not NAME=value"),
    ("API_KEY='k-51", "line 2, has a quote that is not closed"),
    (f"API_KEY={KEY}\\\\", "line 2, ends in a backslash"),
]


@pytest.mark.parametrize(("line", "wrong"), BAD_LINES)
def test_bad_line_in_the_settings_file(tmp_path: Path, line: str, wrong: str) -> None:
    environ = write(tmp_path, f"# first\n{line}\n")
    text = refusal(environ)
    assert text.startswith(f"SETTINGS_FILE={environ['SETTINGS_FILE']}, ")
    assert wrong in text
    assert "k-51" not in text


def test_settings_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "acekeeper.env"
    file.write_bytes(b"API_KEY=\xff\xfe")
    assert "is not UTF-8 text" in refusal({"SETTINGS_FILE": str(file)})
    assert "Is a directory" in refusal({"SETTINGS_FILE": str(tmp_path)})


def test_secrets_are_not_shown() -> None:
    keys = {"API_KEY_PREVIOUS": "older-key", "API_KEY_READ": "reads", "VPN_API_KEY": "of-vpns"}
    settings = load({"API_KEY": KEY, **keys})
    assert settings.api_key
    assert settings.api_key.reveal() == KEY
    assert settings.secrets == (KEY, "of-vpns", "older-key", "reads")
    shown = f"{settings} {settings!r} {settings.api_key} {vars(settings)} {settings.sources}"
    assert KEY not in shown
    assert "older-key" not in shown
    assert "reads" not in shown
    assert "of-vpns" not in shown


@pytest.mark.parametrize("name", ["API_KEY", "API_KEY_PREVIOUS", "API_KEY_READ", "VPN_API_KEY"])
@pytest.mark.parametrize("value", ["se cret", "secré", "sec\x00ret"])
def test_a_bad_secret_is_refused_unseen(name: str, value: str) -> None:
    text = refusal({"API_KEY": "k", name: value})
    assert text.startswith(f"{name} has ")
    assert "sec" not in text


def test_state_dir_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert load({}).state_dir == Path("/home/someone/.local/state/acekeeper")
    assert load({"XDG_STATE_HOME": "/xdg"}).state_dir == Path("/xdg/acekeeper")
    assert load({"XDG_STATE_HOME": "x"}).state_dir == load({}).state_dir
    given = load({"XDG_STATE_HOME": "/xdg", "STATE_DIR": "~/here"})
    assert given.state_dir == Path("/home/someone/here")


def test_other_names_in_the_environment_are_ignored() -> None:
    assert load({"MIN_REPLICA": "x", "PATH": "/bin"}).min_replicas == 1


TEXTS = st.text() | st.from_regex(r"[-+]?[0-9]*[.:-]?[0-9]*", fullmatch=True)
SPELLINGS = [*SETTINGS, "CIRCUIT_BREAKER_FAILURE_THRESHOLD", "XDG_STATE_HOME"]
NO_FILE = [name for name in SPELLINGS if name != "SETTINGS_FILE"]


@given(st.dictionaries(st.sampled_from(NO_FILE), TEXTS))
def test_any_environment_loads_or_is_refused(environ: dict[str, str]) -> None:
    try:
        settings = load(environ)
    except BadSetting as refused:
        assert "\n" not in str(refused)
    else:
        assert_well_typed(settings)
        assert 0 <= settings.min_replicas <= settings.max_replicas <= 500
        assert 0 <= settings.retry_backoff_s <= 300


@given(st.sampled_from(sorted(SETTINGS)), TEXTS)
def test_any_text_is_a_value_or_refused(name: str, said: str) -> None:
    try:
        settings = load({name: said})
    except BadSetting as refused:
        assert str(refused).startswith((name, "MIN_REPLICAS", "MAX_REPLICAS", "PORT_", "ENGINE_"))
    else:
        assert_well_typed(settings)


@given(st.text())
def test_any_settings_file_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.env"
    file.write_bytes(text.encode(errors="surrogatepass"))
    try:
        load({"SETTINGS_FILE": str(file)})
    except BadSetting as refused:
        assert "\n" not in str(refused)


def test_what_is_generated_is_up_to_date() -> None:
    generated: dict[Path, str] = runpy.run_path(str(ROOT / "docs/generate.py"))["generated"]()
    stale = [str(path) for path, text in generated.items() if path.read_text("utf-8") != text]
    assert not stale, f"run `make docs` to rewrite {' and '.join(stale)}"


def test_docs_name_every_setting_once() -> None:
    page = (ROOT / "docs/settings.md").read_text("utf-8").partition("## Profiles")[0]
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    assert [row[1].strip(" `") for row in rows] == list(SETTINGS)
    assert {len(row) for row in rows} == {6}


def test_env_example_works_when_uncommented(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    given = [line[1:] for line in lines if line.startswith("#") and line[1:2].isupper()]
    assert [line.partition("=")[0] for line in given] == list(SETTINGS)
    given.remove("SETTINGS_FILE=")
    environ = write(tmp_path, "\n".join(given))
    settings = load(environ)
    assert settings == load({"SETTINGS_FILE": environ["SETTINGS_FILE"]})
    defaults = load({})
    for name in SETTINGS.keys() - {"SETTINGS_FILE"}:
        assert getattr(settings, name.lower()) == getattr(defaults, name.lower()), name


def test_the_playbook_offers_the_same_profiles() -> None:
    specs = (ROOT / "ansible/roles/acekeeper/meta/argument_specs.yml").read_text("utf-8")
    offered = re.search(r"^ +acekeeper_profile:\n(?: {8,}.*\n)*? +choices: \[(.*)\]", specs, re.M)
    assert offered
    assert offered[1].split(", ") == list(PROFILES)

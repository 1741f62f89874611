"""Every setting, once: the fields of `Settings` are the table everything else comes from.

A field's name is the environment name in lower case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

from acekeeper.profiles import PROFILES, Profile
from acekeeper.setting_kinds import (
    Kind,
    Network,
    Secret,
    address,
    addresses,
    choice,
    command,
    flag,
    image,
    ipv4,
    label,
    memory,
    networks,
    path,
    port_range,
    seconds,
    secret,
    servers,
    vpn_names,
    whole,
)
from acekeeper.settings_clashes import check
from acekeeper.settings_file import read

Runtime = Literal["process", "quadlet"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

EMULATOR = (
    "{python} -m acekeeper.emulator --http-host {addresses} --http-port {http_port}"
    " --https-port {https_port} --port {p2p_port} --api-port {api_port}"
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Comes from `load`. `sources` says by environment name where each value came from."""

    # From the requirements.
    api_request_timeout_s: Annotated[
        float, seconds(30, 0.1, 3600), "Longest an ordinary API request may take."
    ]
    api_long_operation_timeout_s: Annotated[
        float, seconds(60, 0.1, 3600), "Longest a sweep or a read of logs may take."
    ]
    provision_timeout_s: Annotated[
        float, seconds(120, 1, 3600), "Longest a start may take in all, up to readiness."
    ]
    provision_startup_grace_s: Annotated[
        float,
        seconds(30, 0.1, 3600),
        "How long a started engine may stay silent before its start failed.",
    ]
    max_retries: Annotated[
        int,
        whole(3, 0, 100),
        "How often a call to systemd, Podman or an engine is repeated that got no answer; probes of"
        " engines are not.",
    ]
    retry_backoff_s: Annotated[
        float,
        seconds(2, 0, 300),
        "Pause before the first repetition; each one after doubles it, with some chance in each.",
    ]
    max_concurrent_provisions: Annotated[
        int, whole(5, 1, 500), "Engines that may be starting at once."
    ]
    min_provision_interval_s: Annotated[
        float, seconds(0.5, 0, 300), "Shortest time between two starts."
    ]
    health_check_interval_s: Annotated[
        float, seconds(20, 0.1, 3600), "How often every engine is probed."
    ]
    monitor_interval_s: Annotated[
        float, seconds(10, 0.1, 3600), "How often every stream is looked at."
    ]
    min_replicas: Annotated[
        int, whole(1, 0, 500), "Free engines always kept; more for a while when they go quickly."
    ]
    # Whole, since `/orchestrator/status` shows it and clients decode an integer there.
    engine_grace_period_s: Annotated[
        int,
        whole(30, 0, 86400, unit="seconds"),
        "How long there is a free engine too many before one goes.",
    ]
    circuit_breaker_threshold: Annotated[
        int,
        whole(5, 1, 1000, older_name="CIRCUIT_BREAKER_FAILURE_THRESHOLD"),
        "Failed starts in a row that open the circuit breaker.",
    ]
    circuit_breaker_timeout_s: Annotated[
        float,
        seconds(300, 0.1, 86400, older_name="CIRCUIT_BREAKER_RECOVERY_TIMEOUT_S"),
        "How long the open breaker waits before it lets one start try.",
    ]
    api_key: Annotated[
        Secret | None,
        secret(),
        "Clients send it as `Authorization: Bearer …`. Required unless `APP_HOST` is loopback.",
    ]
    app_host: Annotated[str, address("127.0.0.1"), "Where the API listens."]
    app_port: Annotated[int, whole(8000, 1, 65535), "The port the API listens on."]

    # From the systems its users come from.
    max_replicas: Annotated[
        int, whole(20, 1, 500), "Engines at most, hung and draining ones included."
    ]
    port_range_host: Annotated[
        range,
        port_range("19000-19999"),
        "HTTP ports of the engines; its n-th port is slot n, counted from 0.",
    ]
    auto_delete: Annotated[
        bool, flag("true"), "Whether free engines beyond `MIN_REPLICAS` are stopped."
    ]
    health_failure_threshold: Annotated[
        int, whole(3, 1, 100), "Failed probes in a row that make an engine unhealthy."
    ]
    health_unhealthy_grace_period_s: Annotated[
        float, seconds(60, 0, 86400), "How long an engine is unhealthy before it is replaced."
    ]
    health_replacement_cooldown_s: Annotated[
        float,
        seconds(60, 0, 86400),
        "In this time at most a quarter of the engines (at least one) is replaced.",
    ]
    stats_history_max: Annotated[
        int,
        whole(720, 1, 100000),
        "Samples of a stream that `/streams/{id}/stats` answers with, the newest.",
    ]
    max_streams_per_engine: Annotated[
        int, whole(1, 1, 100), "Streams with which an engine is full."
    ]
    target_image: Annotated[
        str | None, image(), "The image of the engines. Required if `RUNTIME` is quadlet."
    ]
    autoscale_interval_s: Annotated[
        float, seconds(30, 0.1, 3600), "How often the number of engines is checked."
    ]

    # Our own.
    runtime: Annotated[
        Runtime,
        choice("process", get_args(Runtime)),
        "Who runs the engines: acekeeper as its children, or systemd in containers.",
    ]
    engine_command: Annotated[
        tuple[str, ...],
        command(EMULATOR),
        "What runs as an engine, in the foreground, if `RUNTIME` is process; by default the"
        " emulator. `{python}` is the Python acekeeper itself runs on, `{addresses}` what this host"
        " has of `ENGINE_HOST`, with commas.",
    ]
    state_dir: Annotated[
        Path,
        path("~/.local/state/acekeeper"),
        "Where the database and the engines' files are; no two installations may share it."
        " Follows `XDG_STATE_HOME`.",
    ]
    engine_host: Annotated[
        tuple[str, ...],
        addresses("127.0.0.1"),
        "The addresses of this host at which players reach the engines.",
    ]
    engine_https_base: Annotated[int, whole(20000, 1024, 65535), "HTTPS port of slot 0."]
    engine_p2p_base: Annotated[int, whole(21000, 1024, 65535), "Peer-to-peer port of slot 0."]
    engine_api_base: Annotated[int, whole(22000, 1024, 65535), "API port of slot 0."]
    engine_memory_max: Annotated[
        int | None,
        memory(256),
        "What an engine may use in memory, its cache and temporary files included, if `RUNTIME` is"
        " quadlet; one that needs more is ended. A change is for engines that run, too.",
    ]
    engine_cpu_weight: Annotated[
        int,
        whole(100, 1, 10000),
        "An engine's share of a busy processor, beside others of its slice, where 100 is usual, if"
        " `RUNTIME` is quadlet.",
    ]
    gateway_host: Annotated[
        tuple[str, ...],
        addresses("127.0.0.1"),
        "Where the gateway listens; any address beyond loopback needs `GATEWAY_ALLOW`.",
    ]
    gateway_port: Annotated[
        int, whole(6878, 0, 65535), "The port the gateway listens on; 0 turns the gateway off."
    ]
    gateway_allow: Annotated[
        tuple[Network, ...],
        networks(),
        "The networks of the players that may use the gateway from beyond this host.",
    ]
    gateway_wait_s: Annotated[
        float,
        seconds(9, 0.1, 300),
        "How long a player that asks for JSON waits for an engine; one that is redirected waits"
        " 25 s, or this if it is longer.",
    ]
    gateway_hedge_s: Annotated[
        float,
        seconds(3, 0.1, 300),
        "After how long without an answer another engine is asked for the same content.",
    ]
    gateway_idle_s: Annotated[
        float, seconds(20, 1, 86400), "After how long without a reader a session is stopped."
    ]
    gateway_allow_urls: Annotated[
        bool,
        flag("false"),
        "Whether players beyond this host may play a `url` or a `magnet`, which the engine"
        " fetches.",
    ]
    vpns: Annotated[
        tuple[str, ...],
        vpn_names(),
        "The VPNs that engines are behind, by their names; none starts outside of one then. Each is"
        " a unit `vpn@NAME.service` if `RUNTIME` is quadlet, else an emulated one.",
    ]
    vpn_slots: Annotated[
        int,
        whole(20, 1, 1000),
        "Slots of `PORT_RANGE_HOST` for each VPN, in the order of `VPNS`.",
    ]
    vpn_control_base: Annotated[
        int, whole(8100, 1024, 65535), "Port of the first VPN's control server, on loopback."
    ]
    vpn_health_base: Annotated[
        int, whole(8200, 1024, 65535), "Port of the first VPN's health server, on loopback."
    ]
    vpn_api_key: Annotated[
        Secret | None, secret(), "What the control servers of the VPNs ask for, as `X-API-Key`."
    ]
    vpn_check_interval_s: Annotated[
        float, seconds(5, 0.1, 300), "How often each VPN is asked whether it has a tunnel."
    ]
    vpn_port_settle_s: Annotated[
        float,
        seconds(120, 0, 86400),
        "How long a new forwarded port has to stay before an engine is started for it.",
    ]
    fleet_name: Annotated[
        str, label(), "The fleet that this host belongs to; without a fleet it plays alone."
    ]
    fleet_host: Annotated[
        str, label(), "This host's name in the fleet, which is the DNS name in its certificate."
    ]
    fleet_servers: Annotated[
        tuple[tuple[str, int], ...],
        servers(),
        "The NATS servers that carry the fleet's messages. The host uses one that answers.",
    ]
    fleet_address: Annotated[
        str,
        ipv4("127.0.0.1"),
        "The address of this host at which players of every host of the fleet reach it. It must be"
        " in `GATEWAY_HOST` and `ENGINE_HOST`, too.",
    ]
    fleet_certificates: Annotated[
        Path | None,
        path(""),
        "The directory with the fleet's `ca.crt` and this host's `host.crt` and `host.key`, for the"
        " connection to `FLEET_SERVERS`. Required unless these are all on loopback.",
    ]
    unmanaged_stream_ttl_s: Annotated[
        float,
        seconds(3600, 1, 604800),
        "How long a stream on an engine that is not ours is listed without word.",
    ]
    retention_days: Annotated[
        int,
        whole(7, 1, 3650, unit="days"),
        "How long ended streams, samples and the log of events are kept.",
    ]
    max_body_bytes: Annotated[
        int, whole(8388608, 1024, 1073741824, unit="bytes"), "Longest request body taken."
    ]
    max_batch_events: Annotated[int, whole(10000, 1, 1000000), "Most events taken in one batch."]
    api_key_previous: Annotated[
        Secret | None, secret(), "A second key that is valid while `API_KEY` is being changed."
    ]
    api_key_read: Annotated[
        Secret | None,
        secret(),
        "A key for what only looks, such as Prometheus or a panel: with it nothing can be changed.",
    ]
    log_level: Annotated[
        LogLevel, choice("INFO", get_args(LogLevel)), "The lowest level that is logged."
    ]
    profile: Annotated[
        Profile,
        choice("none", get_args(Profile)),
        "Values for settings not given, from the table below.",
    ]
    settings_file: Annotated[
        Path | None,
        path(""),
        "A file of `NAME=value` lines, as systemd's `EnvironmentFile=` reads them. Only in the"
        " environment.",
    ]

    sources: Mapping[str, str] = field(repr=False, compare=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(v.reveal() for v in vars(self).values() if isinstance(v, Secret))

    def digests(self, salt: str) -> dict[str, str]:
        """By name; they tell whether a value is another one, and not what it is."""
        said = {name: getattr(self, name.lower()) for name in SETTINGS}
        shown = {n: v.reveal() if isinstance(v, Secret) else str(v) for n, v in said.items()}
        return {n: sha256(f"{salt} {n} {v}".encode()).hexdigest()[:16] for n, v in shown.items()}


class Setting(NamedTuple):
    kind: Kind
    help: str


SETTINGS: Mapping[str, Setting] = {
    name.upper(): Setting(*hint.__metadata__)
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}


def load(environ: Mapping[str, str]) -> Settings:
    layers = {"environment": environ}
    file, _ = SETTINGS["SETTINGS_FILE"].kind.find("SETTINGS_FILE", layers)
    if file:
        older = {setting.kind.older_name for setting in SETTINGS.values()} - {""}
        layers["settings file"] = read(file, SETTINGS.keys() - {"SETTINGS_FILE"} | older)
    profile, _ = SETTINGS["PROFILE"].kind.find("PROFILE", layers)
    if profile:
        layers[f"profile {profile}"] = PROFILES[profile]
    defaults = {name: setting.kind.default for name, setting in SETTINGS.items()}
    # The XDG specification has a relative path ignored.
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        defaults["STATE_DIR"] = environ["XDG_STATE_HOME"] + "/acekeeper"
    layers["default"] = defaults

    found = {name: setting.kind.find(name, layers) for name, setting in SETTINGS.items()}
    values: dict[str, Any] = {name.lower(): value for name, (value, _) in found.items()}
    settings = Settings(**values, sources={name: source for name, (_, source) in found.items()})
    check(settings)
    return settings

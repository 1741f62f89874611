"""The shapes of what we say of ourselves."""

from typing import Literal

from msgspec import Struct

from acekeeper.api.wire import Moment, Refused
from acekeeper.api.wire_fleet import FleetTotals

Status = Literal["healthy", "degraded", "unavailable"]
CircuitState = Literal["closed", "open", "half_open"]
VpnState = Literal["unknown", "stopped", "connecting", "connected", "lost", "dead", "silent"]


class Ready(Struct):
    ready: bool
    engines: int
    active_streams: int
    circuit_state: CircuitState
    timestamp: Moment
    degraded: list[str]
    version: str
    maintenance: Moment | None  # since when; None: the host takes viewers


class EngineTotals(Struct):
    total: int
    running: int
    healthy: int
    unhealthy: int


class StreamTotals(Struct):
    active: int
    total: int


class Capacity(Struct):
    total: int
    used: int
    available: int
    max_replicas: int
    min_replicas: int
    at_least: int  # engines in all that an operator asked for


class VpnTotals(Struct):
    """`container` and `forwarded_port`: of the first VPN with a tunnel. `health`: None without
    VPNs."""

    enabled: bool
    connected: bool  # any of them has a tunnel
    health: Literal["healthy", "unhealthy"] | None
    container: str | None
    forwarded_port: int | None


class VpnShort(Struct):
    """What anybody may know of a VPN."""

    name: str
    state: VpnState
    engines: int
    port: int | None


class Vpn(VpnTotals):
    vpns: list[VpnShort]


class VpnBand(Struct):
    """What the panel says of a VPN beside its engines. `since`: the tunnel is as it is."""

    name: str
    state: VpnState
    since: Moment | None
    country: str | None
    port: int | None  # that its provider forwards now


class VpnDetail(VpnBand):
    """The bytes are those of this start of the VPN, as far as anybody sees them."""

    public_ip: str | None
    engines: list[str]  # names of their containers
    forwarded_engine: str | None  # the one of these with that port
    silent: str | None  # why it could not be asked, the last time
    received_bytes: int | None
    sent_bytes: int | None


class VpnReport(VpnTotals):
    vpns: list[VpnDetail]


class Provisioning(Struct):
    can_provision: bool
    circuit_breaker_state: CircuitState
    last_failure: Moment | None
    blocked_reason: str | None
    blocked_reason_details: Refused | None


class Config(Struct):
    auto_delete: bool
    grace_period_s: int
    target_image: str


class Gateway(Struct):
    """`listening`: the addresses at which players are served; /health/ready says which are not.
    `playing`: sessions; `waiting`: players that have none so far."""

    listening: list[str]
    playing: int
    waiting: int


class Rollout(Struct):
    """While engines are not as one would be that started now: they are replaced. `reasons` counts
    them; `stopped`: why none is replaced, in a word."""

    outdated: int
    reasons: dict[str, int]
    stopped: str | None


class OrchestratorStatus(Struct):
    status: Status
    engines: EngineTotals
    streams: StreamTotals
    capacity: Capacity
    vpn: Vpn
    provisioning: Provisioning
    config: Config
    timestamp: Moment
    gateway: Gateway | None  # None: it is turned off
    rollout: Rollout | None  # None: no engine is outdated
    maintenance: Moment | None
    fleet: FleetTotals | None  # None: this host belongs to none


class Maintenance(Struct):
    """What is left of the host's engines and streams, when it was asked for or ended."""

    since: Moment | None
    engines: int
    streams: int


class HealthTotals(Struct):
    """`healthy`, `unhealthy` and `unknown` are what probes say, the others where an engine is."""

    total: int
    healthy: int
    unhealthy: int
    unknown: int
    starting: int
    running: int
    draining: int
    stopping: int


class HealthThresholds(Struct):
    health_failure_threshold: int
    health_unhealthy_grace_period_s: float
    health_replacement_cooldown_s: float
    provision_startup_grace_s: float


class BreakerState(Struct):
    state: CircuitState
    failures: int
    failure_threshold: int
    recovery_timeout_s: float
    seconds_left: int
    opened_at: Moment | None
    last_failure: Moment | None


class CircuitBreakers(Struct):
    provisioning: BreakerState


class HealthReport(Struct):
    status: Status
    engines: HealthTotals
    thresholds: HealthThresholds
    circuit_breakers: CircuitBreakers
    timestamp: Moment


class Overview(Struct):
    """What the panel shows of the whole."""

    status: Status
    engines: EngineTotals
    streams: StreamTotals
    capacity: Capacity
    provisioning: Provisioning
    breaker: BreakerState
    gateway: Gateway | None
    rollout: Rollout | None
    maintenance: Moment | None
    vpns: list[VpnBand]  # in the order of VPNS
    fleet: FleetTotals | None
    degraded: list[str]
    version: str

"""The values of what is known: engines, streams, requests. They never change; `State` holds the
current ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from acekeeper.core.doubt import Doubt, Hunger, Suspicion
from acekeeper.core.names import PortPlan, Slot


class Now(NamedTuple):
    """An instant on both clocks, in seconds: durations use `mono`, what outlives us `wall`."""

    wall: float
    mono: float

    def after(self, seconds: float) -> "Now":
        return Now(self.wall + seconds, self.mono + seconds)

    def of_wall(self, wall: float) -> "Now":
        """An instant read from disk, placed on this run's monotonic clock (never in the future)."""
        return Now(wall, self.mono - max(0.0, self.wall - wall))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The numbers the rules work with; seconds unless the name says otherwise."""

    host: str
    local_names: frozenset[str]
    ports: PortPlan
    min_replicas: int = 1
    max_replicas: int = 20
    max_streams_per_engine: int = 1
    auto_delete: bool = True
    engine_grace_period: float = 30
    max_concurrent_provisions: int = 5
    min_provision_interval: float = 0.5
    provision_timeout: float = 120
    startup_grace: float = 30
    breaker_threshold: int = 5
    breaker_timeout: float = 300
    health_failure_threshold: int = 3
    unhealthy_grace_period: float = 60
    replacement_cooldown: float = 60
    unmanaged_stream_ttl: float = 3600
    stats_history_max: int = 720  # samples of a stream in one answer

    # Facts of the client and of the engine rather than choices (the wire contract tells why).
    answer_within: float = 2.5
    sleeps_then: float = 5  # a client does, before it plays from an engine it was given
    claim_lasts: float = 60
    rest_after_hand_out: float = 60
    drain_wait: float = 30
    drain_look_again: float = 10
    early_death: float = 10
    ask_starting_every: float = 0.25
    ask_suspect_every: float = 1
    port_rest: float = 60
    remember_ended: float = 3600
    keep_ended: int = 10_000
    stop_retry: float = 5
    start_retry: float = 5  # the longest pause after starts that failed for nothing of theirs
    rush_lasts: float = 300
    choice_lasts: float = 5  # a client caches the list for 2 s, and asks one engine after another
    try_again_every: float = 5
    blame_lasts: float = 600
    # Above the 20 s of a client's patience and the 30 s a buffer may take to fill, together, and
    # many looks: a moment between two connections is no end.
    unread_after: float = 90
    starving_after: float = 180


class Phase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Health(StrEnum):
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Claim:
    """An engine promised to a request; `until` is None while the answer is not yet given."""

    request: str
    until: Now | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    reason: str
    since: Now
    looked: Now | None = None  # when its streams were last asked whether they move
    idle: bool = False  # what that look found


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One incarnation of an engine: a slot and one start of it."""

    slot: Slot
    asked: Now  # when its start was asked for, or when it was found
    start: str = ""  # the runtime's name for this start; empty until it has one
    container_id: str = ""
    phase: Phase = Phase.STARTING
    health: Health = Health.UNKNOWN
    labels: Mapping[str, str] = field(default_factory=dict)
    started: Now | None = None
    ready: Now | None = None
    settled: bool = False  # survived its first seconds of readiness
    seen: Now | None = None
    checked: Now | None = None
    used: Now | None = None  # last start or end of a stream
    free_since: Now | None = None
    handed: Now | None = None
    claim: Claim | None = None
    drain: Drain | None = None
    failures: int = 0
    unlisted: Now | None = None  # since when it is off the list, if it ever was on it
    unhealthy: Now | None = None
    asking: bool = False  # a probe is on its way
    probed: Now | None = None  # when the last probe ended, whatever it found
    answered: Now | None = None  # when the last one did that said something
    ask_soon: bool = False
    looking: bool = False  # its streams are being asked
    doubt: Doubt | None = None
    suspicion: Suspicion | None = None
    cleared: float | None = None  # when a doubt for a connection was found wrong, monotonic
    hunger: Hunger | None = None
    stop_reason: str = ""
    stop_retry: Now | None = None

    @property
    def listed(self) -> bool:
        """Not before it has the name by which clients ask what plays on it."""
        return (
            self.phase is Phase.RUNNING
            and self.health is Health.HEALTHY
            and self.drain is None
            and self.container_id != ""
        )

    @property
    def open(self) -> bool:
        """Nobody has it, and the next viewer may: it is listed, or will be when it is ready."""
        coming = self.phase is Phase.STARTING and self.drain is None
        return self.claim is None and (coming or self.listed)

    @property
    def idle_since(self) -> Now:
        return self.free_since or self.used or self.asked

    @property
    def ref(self) -> tuple[Slot, str]:
        return self.slot, self.start


class KeyType(StrEnum):
    CONTENT_ID = "content_id"
    INFOHASH = "infohash"
    URL = "url"
    MAGNET = "magnet"


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of an engine about a stream; speeds in KB/s, totals in bytes."""

    at: Now
    status: str
    peers: int
    speed_down: int
    speed_up: int
    downloaded: int
    uploaded: int

    def moved_since(self, earlier: "Sample | None") -> bool:
        return self.speed_down > 0 or (earlier is not None and self.downloaded > earlier.downloaded)


Place = tuple[str, int] | str
"""Where an event said an engine is: an address, or a container id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """`slot` is None for a stream on an engine that is not ours."""

    id: str
    key_type: KeyType
    key: str
    session: str
    stat_url: str
    command_url: str
    is_live: bool
    address: tuple[str, int]  # where the event said the engine is
    also: tuple[tuple[str, int], ...] = ()  # with no slot: where it said it may be as well,
    named: str = ""  # and its container id
    started: Now
    slot: Slot | None = None
    start: str = ""
    container_id: str = ""
    ended: Now | None = None
    reason: str = ""

    @property
    def ref(self) -> tuple[str, str]:
        """An id may be used again: only with its session does it mean this stream."""
        return self.id, self.session

    @property
    def places(self) -> tuple[Place, ...]:
        """Each once."""
        named = (self.named,) if self.named else ()
        return tuple(dict.fromkeys((self.address, *self.also, *named)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A provisioning request between its arrival and the delivery of its answer."""

    id: str
    received: Now
    port: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    slot: Slot | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Breaker:
    failures: int = 0
    opened: Now | None = None
    last_failure: Now | None = None


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """An end whose start has not come yet, or whose stream is no longer kept."""

    at: Now
    reason: str

"""The values of what is known: engines, streams, requests. They never change; `State` holds the
current ones."""

from collections.abc import Mapping
from enum import StrEnum
from typing import final

from msgspec import Struct
from msgspec.structs import replace

from acekeeper.core.build import Build
from acekeeper.core.doubt import Content, Doubt, Hunger, Suspicion
from acekeeper.core.names import EVERYWHERE, HERE, Slot
from acekeeper.core.texts import command_url_of
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut

CLAIM_LASTS = 60.0  # seconds from the answer to the request


@final
class Now(Struct, frozen=True, order=True, gc=False):
    """An instant on both clocks, in seconds: durations use `mono`, what outlives us `wall`."""

    wall: float
    mono: float

    def after(self, seconds: float) -> "Now":
        return Now(self.wall + seconds, self.mono + seconds)

    def of_wall(self, wall: float) -> "Now":
        """An instant read from disk, placed on this run's monotonic clock (never in the future)."""
        return Now(wall, self.mono - max(0.0, self.wall - wall))


class Phase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Health(StrEnum):
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Draining(Struct, frozen=True):
    reason: str
    since: Now
    looking: bool = False  # its streams are being asked whether they move
    looked: Now | None = None  # when they last were
    idle: bool = False  # what that look found


class Stopping(Struct, frozen=True):
    reason: str
    retry: Now | None = None  # when the stop is to be asked for again


class Probe(Struct, frozen=True, gc=False):
    failures: int = 0  # in a row
    under_way: bool = False
    due: bool = False  # at once
    ended: Now | None = None  # when the last one did, whatever it found
    judged: Now | None = None  # when the last one did that said something


Made = tuple[Build, tuple[str, ...], WayOut | None, Behind | None]


class Engine(Struct, frozen=True, kw_only=True, gc=False):
    """One incarnation of an engine: a slot and one start of it."""

    slot: Slot
    created: Now  # when its start was asked for, or when it was found
    incarnation: str = ""  # the runtime's name for it; empty until it has one
    container_id: str = ""
    addresses: tuple[str, ...] = (HERE,)  # where this start is reached, as long as it lasts
    build: Build = Build()
    way_out: WayOut | None = None  # of the host when it started; None: it shares the host's
    behind: Behind | None = None  # None: it shares the way out of the host
    health: Health = Health.UNKNOWN
    labels: Mapping[str, str] = {}
    started: Now | None = None
    ready: Now | None = None
    settled: bool = False  # survived its first seconds of readiness
    seen: Now | None = None
    checked: Now | None = None
    used: Now | None = None  # last start or end of a stream
    free_since: Now | None = None
    claim: str | None = None  # the request it is promised to, until a stream starts
    handed: Now | None = None  # when that was answered, or the last one if there is no claim
    drain: Draining | None = None
    stop: Stopping | None = None
    probe: Probe = Probe()
    unlisted: Now | None = None  # since when it is off the list, if it ever was on it
    unhealthy: Now | None = None
    against: Suspicion | Doubt | None = None
    cleared: float | None = None  # when a doubt for a connection was found wrong, monotonic
    hunger: Hunger | None = None

    @property
    def phase(self) -> Phase:
        return Phase.STOPPING if self.stop else Phase.RUNNING if self.ready else Phase.STARTING

    @property
    def claimed_until(self) -> Now | None:
        """None without a claim, and while its request is not answered."""
        return self.handed.after(CLAIM_LASTS) if self.claim is not None and self.handed else None

    @property
    def doubt(self) -> Doubt | None:
        return self.against if isinstance(self.against, Doubt) else None

    @property
    def listed(self) -> bool:
        """Not before it has the name by which clients ask what plays on it."""
        return (
            self.ready is not None
            and self.stop is None
            and self.health is Health.HEALTHY
            and self.drain is None
            and self.container_id != ""
        )

    @property
    def open(self) -> bool:
        """Nobody has it, and the next viewer may: it is listed, or will be when it is ready."""
        coming = self.ready is None and self.stop is None and self.drain is None
        return self.claim is None and (coming or self.listed)

    @property
    def is_calm(self) -> bool:
        """It runs well (so it is not doubted), nothing is under way with it, and no time is set to
        it."""
        return (
            self.settled
            and self.stop is None
            and self.health is Health.HEALTHY
            and not self.probe.due
            and self.claim is None
            and self.drain is None
        )

    def to_be_asked(self) -> "Engine":
        return replace(self, probe=replace(self.probe, due=True))

    @property
    def made(self) -> Made:
        """What stays as it is from its start on, and is the same for most."""
        return self.build, self.addresses, self.way_out, self.behind

    def is_at(self, address: str) -> bool:
        """Whether players reach it there."""
        return address in self.addresses or EVERYWHERE in self.addresses

    @property
    def idle_since(self) -> Now:
        return self.free_since or self.used or self.created

    @property
    def ref(self) -> tuple[Slot, str]:
        return self.slot, self.incarnation


class KeyType(StrEnum):
    CONTENT_ID = "content_id"
    INFOHASH = "infohash"
    URL = "url"
    MAGNET = "magnet"


class Sample(Struct, frozen=True, gc=False):
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


class Opening(Struct, frozen=True):
    """What an engine answered to a getstream; `session` is its own name for the session."""

    infohash: str
    token: str
    session: str
    is_live: bool
    is_encrypted: bool = False
    client_session_id: int = -1


class ByGateway(Struct, frozen=True, kw_only=True):
    """How a stream came to be that the gateway opened. `tokens`: those of the sessions that it
    replaced, by which its player still calls it."""

    opening: Opening
    player: str
    arrival: str
    as_json: bool
    is_hls: bool
    query: str
    tokens: tuple[str, ...] = ()
    moved: bool = False  # its player waited for the picture on another engine before


Place = tuple[str, int] | str
"""Where an event said an engine is: an address, or a container id."""


class Stream(Struct, frozen=True, kw_only=True, gc=False):
    """`slot` is None for a stream on an engine that is not ours."""

    id: str
    key_type: KeyType
    key: str
    session: str
    stat_url: str
    own_command_url: str | None = None  # if it does not follow from `stat_url`
    is_live: bool
    address: tuple[str, int]  # where the event said the engine is
    also: tuple[tuple[str, int], ...] = ()  # with no slot: where it said it may be as well,
    named: str = ""  # and its container id
    started: Now
    slot: Slot | None = None
    incarnation: str = ""
    container_id: str = ""
    ended: Now | None = None
    reason: str = ""
    gateway: ByGateway | None = None  # None: an event told of it

    @property
    def ref(self) -> tuple[str, str]:
        """An id may be used again: only with its session does it mean this stream."""
        return self.id, self.session

    @property
    def command_url(self) -> str:
        """Where its engine is told about it."""
        own = self.own_command_url
        return command_url_of(self.stat_url) if own is None else own

    @property
    def tokens(self) -> tuple[str, ...]:
        """By which players of the gateway call it."""
        return () if self.gateway is None else (*self.gateway.tokens, self.session)

    @property
    def contents(self) -> frozenset[Content]:
        """What a session of the gateway plays: as it was asked for, and as its engine calls it."""
        if self.gateway is None:
            return frozenset()
        asked = Content(self.key_type.value, self.key)
        return frozenset({asked, Content(KeyType.INFOHASH.value, self.gateway.opening.infohash)})

    @property
    def places(self) -> tuple[Place, ...]:
        """Each once."""
        named = (self.named,) if self.named else ()
        return tuple(dict.fromkeys((self.address, *self.also, *named)))


class Request(Struct, frozen=True, kw_only=True):
    """A provisioning request between its arrival and the delivery of its answer."""

    id: str
    received: Now
    port: int | None = None
    labels: Mapping[str, str] = {}
    slot: Slot | None = None
    answered: bool = False


class Breaker(Struct, frozen=True):
    failures: int = 0
    opened: Now | None = None
    last_failure: Now | None = None


class EarlyEnd(Struct, frozen=True, gc=False):
    """An end whose start has not come yet, or whose stream is no longer kept."""

    at: Now
    reason: str

"""What can happen. Everything that reaches the state comes as one of these.

A fact about an engine names its slot and its incarnation, so that a late one about an earlier
one changes nothing; one about a stream that was asked about, its id and its session. What
came of a start needs no more than the slot: until it is told nobody else is there.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from acekeeper.core.actions import Action
from acekeeper.core.build import Build
from acekeeper.core.fleet.facts import FleetFact
from acekeeper.core.gateway.facts import GatewayFact
from acekeeper.core.model import KeyType, Now, Sample
from acekeeper.core.names import HERE, OfOneStart, Slot
from acekeeper.core.runs import RunFact
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut


class RuntimeConnected(Struct, frozen=True):
    pass


class RuntimeLost(Struct, frozen=True):
    why: str


class RuntimeChecked(Struct, frozen=True):
    """`lacks`: what starts need and is not there; empty when nothing. `addresses`: those of
    GATEWAY_HOST and ENGINE_HOST that are there."""

    lacks: str
    addresses: tuple[str, ...] = (HERE,)


class WayOutSeen(Struct, frozen=True):
    """How the host gets out to the network; told where engines have networks of their own."""

    way: WayOut


class SourceAsked(Struct, frozen=True):
    """Something outside that tells us of engines (`podman`, or the kernel of `connections`) was
    asked; `trouble` is empty if it answered. Engines run and start without it."""

    source: str
    trouble: str


class Found(OfOneStart, frozen=True):
    """An engine the runtime says is running. `dying` when it is already on its way out."""

    container_id: str
    dying: bool = False
    addresses: tuple[str, ...] = (HERE,)
    build: Build = Build()
    way_out: WayOut | None = None
    behind: Behind | None = None


class EnginesListed(Struct, frozen=True):
    """All that runs. Engines created after `as_of` may be missing from it.
    `stopped`: starts that an operator ended while we were away. `build`: what a start would be
    made of now.

    Of some slots only, it is a part of a longer list: all of that comes after its parts."""

    host: str
    boot: str
    as_of: Now
    found: tuple[Found, ...]
    stopped: frozenset[str] = frozenset()
    slots: tuple[Slot, ...] | None = None
    build: Build = Build()


class EngineStarted(OfOneStart, frozen=True):
    container_id: str
    addresses: tuple[str, ...] = (HERE,)
    build: Build = Build()
    way_out: WayOut | None = None


class EngineStartFailed(Struct, frozen=True):
    """`excused`: it says nothing about engines (somebody else holds a port, the bus went away).
    `cause` in one or two words, empty for a defect of ours."""

    slot: Slot
    why: str
    excused: bool = False
    cause: str = ""


class EngineIdentified(OfOneStart, frozen=True):
    """The runtime learned the container id of a start only now."""

    container_id: str


class EngineDied(OfOneStart, frozen=True):
    """`cause` in one or two words, `detail` for the reader of a log; `at` on the monotonic clock,
    None when nobody knows."""

    cause: str
    detail: str = ""
    at: float | None = None


class EngineStopFailed(OfOneStart, frozen=True):
    why: str


class EngineAnswered(OfOneStart, frozen=True):
    pass


class EngineSilent(OfOneStart, frozen=True):
    """`excused`: our own loop was late while it was asked, so the silence may be ours."""

    why: str
    excused: bool = False


class EnginesSurveyed(Struct, frozen=True):
    """A health pass is over; these answered. Those that did not were told one by one."""

    answered: tuple[tuple[Slot, str], ...]


class Verdict(StrEnum):
    """What a try of playback found, where the engine did its part."""

    PLAYS = "plays"
    BAD_CONTENT = "bad_content"
    STARVED = "starved"  # it answers, and nobody in the network has anything for it


class PlaybackAnswered(OfOneStart, frozen=True):
    verdict: Verdict
    detail: str = ""


class PlaybackFailed(OfOneStart, frozen=True):
    """`excused`: it says nothing about the engine (our loop was late, somebody else used it)."""

    why: str
    excused: bool = False


class StreamsAsked(OfOneStart, frozen=True):
    """What an engine said of its streams, by their refs. For `silent` ones it was asked and did
    not answer; a stream nowhere here was not asked about."""

    samples: Mapping[tuple[str, str], Sample] = {}
    unknown: frozenset[tuple[str, str]] = frozenset()
    silent: frozenset[tuple[str, str]] = frozenset()


class ConnectionsSeen(Struct, frozen=True):
    """Who is connected to the engines looked at, but for ourselves: a name for each connection.
    `at` is the moment before the look."""

    at: Now
    callers: Mapping[tuple[Slot, str], frozenset[str]]


class ProvisionRequested(Struct, frozen=True):
    request: str
    port: int | None = None
    labels: Mapping[str, str] = {}


class AnswerDelivered(Struct, frozen=True):
    request: str


class AnswerLost(Struct, frozen=True):
    """The caller went away before its answer was out."""

    request: str


class StreamStarted(Struct, frozen=True, kw_only=True, gc=False):
    id: str
    key_type: KeyType
    key: str
    session: str
    stat_url: str
    command_url: str
    is_live: bool
    addresses: tuple[tuple[str, int], ...]  # where the engine may be, the most trusted first
    container_id: str = ""


class StreamEnded(Struct, frozen=True, gc=False):
    id: str
    container_id: str = ""
    reason: str = ""


class StreamStopped(Struct, frozen=True):
    """An operator had this session of a stream stopped; whether the engine heard is its affair."""

    id: str
    session: str


class DrainRequested(OfOneStart, frozen=True):
    pass


class StopRequested(OfOneStart, frozen=True):
    """Now, whatever plays on it."""


class ScaleRequested(Struct, frozen=True):
    """So many engines in all, free or not, are kept from here on; 0 ends it."""

    at_least: int


class BreakerReset(Struct, frozen=True):
    pass


class MaintenanceRequested(Struct, frozen=True):
    """Until it is asked to end, this host takes no new viewers."""


class MaintenanceOver(Struct, frozen=True):
    pass


OperatorAsked = (
    StreamStopped
    | DrainRequested
    | StopRequested
    | ScaleRequested
    | BreakerReset
    | MaintenanceRequested
    | MaintenanceOver
)


class VpnStarted(Struct, frozen=True):
    """`incarnation`: the start of its unit."""

    vpn: str
    incarnation: str


class VpnEnded(Struct, frozen=True):
    """`incarnation`: empty if nothing of it runs, whatever ran last."""

    vpn: str
    incarnation: str = ""
    why: str = ""


class VpnAnswered(Struct, frozen=True):
    """What its control and health servers say. `is_healthy`: it has a tunnel and a public address.
    `port`: the one its provider forwards; 0: none now; None: it cannot tell."""

    vpn: str
    incarnation: str
    is_healthy: bool
    public_ip: str = ""
    country: str = ""
    port: int | None = None


class VpnSilent(Struct, frozen=True):
    """`excused`: our own loop was late while it was asked, so the silence may be ours."""

    vpn: str
    incarnation: str
    why: str
    excused: bool = False


class VpnTraffic(Struct, frozen=True):
    """Bytes through its tunnel so far, at a moment (monotonic)."""

    vpn: str
    incarnation: str
    received: int
    sent: int
    at: float


VpnFact = VpnStarted | VpnEnded | VpnAnswered | VpnSilent | VpnTraffic


class ActionTaken(Struct, frozen=True):
    action: Action


class TimePassed(Struct, frozen=True):
    """A deadline of the plan came."""


Fact = (
    RuntimeConnected
    | RuntimeLost
    | RuntimeChecked
    | WayOutSeen
    | SourceAsked
    | EnginesListed
    | EngineStarted
    | EngineStartFailed
    | EngineIdentified
    | EngineDied
    | EngineStopFailed
    | EngineAnswered
    | EngineSilent
    | EnginesSurveyed
    | PlaybackAnswered
    | PlaybackFailed
    | StreamsAsked
    | ConnectionsSeen
    | ProvisionRequested
    | AnswerDelivered
    | AnswerLost
    | StreamStarted
    | StreamEnded
    | OperatorAsked
    | RunFact
    | VpnFact
    | FleetFact
    | GatewayFact
    | ActionTaken
    | TimePassed
)

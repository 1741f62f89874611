"""What can happen. Everything that reaches the state comes as one of these.

A fact about an engine names its slot and its incarnation, so that a late one about an earlier
one changes nothing; one about a stream that was asked about, its id and its session. What
came of a start needs no more than the slot: until it is told nobody else is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from acekeeper.core.actions import Action
from acekeeper.core.gateway.facts import GatewayFact
from acekeeper.core.model import KeyType, Now, Sample
from acekeeper.core.names import HERE, OfOneStart, Slot


@dataclass(frozen=True, slots=True)
class RuntimeConnected:
    pass


@dataclass(frozen=True, slots=True)
class RuntimeLost:
    why: str


@dataclass(frozen=True, slots=True)
class RuntimeChecked:
    """`lacks`: what starts need and is not there; empty when nothing. `addresses`: those of
    GATEWAY_HOST and ENGINE_HOST that are there."""

    lacks: str
    addresses: tuple[str, ...] = (HERE,)


@dataclass(frozen=True, slots=True)
class Found(OfOneStart):
    """An engine the runtime says is running. `dying` when it is already on its way out."""

    container_id: str
    dying: bool = False
    addresses: tuple[str, ...] = (HERE,)


@dataclass(frozen=True, slots=True)
class EnginesListed:
    """All that runs. Engines created after `as_of` may be missing from it.
    `stopped`: starts that an operator ended while we were away.

    Of some slots only, it is a part of a longer list: all of that comes after its parts."""

    host: str
    boot: str
    as_of: Now
    found: tuple[Found, ...]
    stopped: frozenset[str] = frozenset()
    slots: tuple[Slot, ...] | None = None


@dataclass(frozen=True, slots=True)
class EngineStarted(OfOneStart):
    container_id: str
    addresses: tuple[str, ...] = (HERE,)


@dataclass(frozen=True, slots=True)
class EngineStartFailed:
    """`excused`: it says nothing about engines (somebody else holds a port, the bus went away).
    `cause` in one or two words, empty for a defect of ours."""

    slot: Slot
    why: str
    excused: bool = False
    cause: str = ""


@dataclass(frozen=True, slots=True)
class EngineIdentified(OfOneStart):
    """The runtime learned the container id of a start only now."""

    container_id: str


@dataclass(frozen=True, slots=True)
class EngineDied(OfOneStart):
    """`cause` in one or two words, `detail` for the reader of a log; `at` on the monotonic clock,
    None when nobody knows."""

    cause: str
    detail: str = ""
    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class EngineStopFailed(OfOneStart):
    why: str


@dataclass(frozen=True, slots=True)
class EngineAnswered(OfOneStart):
    pass


@dataclass(frozen=True, slots=True)
class EngineSilent(OfOneStart):
    """`excused`: our own loop was late while it was asked, so the silence may be ours."""

    why: str
    excused: bool = False


@dataclass(frozen=True, slots=True)
class EnginesSurveyed:
    """A health pass is over; these answered. Those that did not were told one by one."""

    answered: tuple[tuple[Slot, str], ...]


class Verdict(StrEnum):
    """What a try of playback found, where the engine did its part."""

    PLAYS = "plays"
    BAD_CONTENT = "bad_content"
    STARVED = "starved"  # it answers, and nobody in the network has anything for it


@dataclass(frozen=True, slots=True)
class PlaybackAnswered(OfOneStart):
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PlaybackFailed(OfOneStart):
    """`excused`: it says nothing about the engine (our loop was late, somebody else used it)."""

    why: str
    excused: bool = False


@dataclass(frozen=True, slots=True)
class StreamsAsked(OfOneStart):
    """What an engine said of its streams, by their refs. For `silent` ones it was asked and did
    not answer; a stream nowhere here was not asked about."""

    samples: Mapping[tuple[str, str], Sample] = field(default_factory=dict)
    unknown: frozenset[tuple[str, str]] = frozenset()
    silent: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class ConnectionsSeen:
    """Who is connected to the engines looked at, but for ourselves: a name for each connection.
    `at` is the moment before the look."""

    at: Now
    callers: Mapping[tuple[Slot, str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class ProvisionRequested:
    request: str
    port: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnswerDelivered:
    request: str


@dataclass(frozen=True, slots=True)
class AnswerLost:
    """The caller went away before its answer was out."""

    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStarted:
    id: str
    key_type: KeyType
    key: str
    session: str
    stat_url: str
    command_url: str
    is_live: bool
    addresses: tuple[tuple[str, int], ...]  # where the engine may be, the most trusted first
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    id: str
    container_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """An operator had this session of a stream stopped; whether the engine heard is its affair."""

    id: str
    session: str


@dataclass(frozen=True, slots=True)
class DrainRequested(OfOneStart):
    pass


@dataclass(frozen=True, slots=True)
class StopRequested(OfOneStart):
    """Now, whatever plays on it."""


@dataclass(frozen=True, slots=True)
class ScaleRequested:
    """So many engines in all, free or not, are kept from here on; 0 ends it."""

    at_least: int


@dataclass(frozen=True, slots=True)
class BreakerReset:
    pass


OperatorAsked = StreamStopped | DrainRequested | StopRequested | ScaleRequested | BreakerReset


@dataclass(frozen=True, slots=True)
class ActionTaken:
    action: Action


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A deadline of the plan came."""


Fact = (
    RuntimeConnected
    | RuntimeLost
    | RuntimeChecked
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
    | GatewayFact
    | ActionTaken
    | TimePassed
)

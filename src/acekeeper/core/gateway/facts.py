"""What players of the gateway do, and what engines answer them."""

from dataclasses import dataclass

from acekeeper.core.gateway.model import Hold, Ref, Wanted
from acekeeper.core.model import Now, Opening
from acekeeper.core.names import Slot


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """`received`: when the player asked first. `within`: the seconds it waits from then on."""

    request: str
    wanted: Wanted
    received: Now
    within: float
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class PlayOpened:
    request: str
    slot: Slot
    incarnation: str
    opening: Opening


@dataclass(frozen=True, slots=True)
class PlayRefused:
    """The engine says, in its `words`, that the content cannot be had."""

    request: str
    slot: Slot
    incarnation: str
    words: str


@dataclass(frozen=True, slots=True)
class PlaySilent:
    """The engine did not answer: it broke off (`broken`), or was given up."""

    request: str
    slot: Slot
    incarnation: str
    why: str
    broken: bool = False
    excused: bool = False


@dataclass(frozen=True, slots=True)
class PlayerLeft:
    """Before its answer was out. `stream`: the session that it was to get."""

    request: str
    stream: str = ""


@dataclass(frozen=True, slots=True)
class ReaderCame:
    """A player asks for the picture of a session, and waits."""

    stream: str


@dataclass(frozen=True, slots=True)
class ReaderSent:
    """A player that waited was sent on to the engine's own content."""

    stream: str


@dataclass(frozen=True, slots=True)
class ReaderLeft:
    """A player that waited gave up, or is sent elsewhere."""

    stream: str


@dataclass(frozen=True, slots=True)
class SessionRead:
    """The list of an HLS session, or the stat of any session, was asked for here."""

    stream: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A player stops its session."""

    stream: str


@dataclass(frozen=True, slots=True)
class SessionStopped:
    """What was held on an engine is gone, by the engine's own word."""

    slot: Slot
    incarnation: str
    hold: Hold


@dataclass(frozen=True, slots=True)
class SessionNotStopped:
    slot: Slot
    incarnation: str
    hold: Hold
    why: str


@dataclass(frozen=True, slots=True)
class ReadersSeen:
    """The engines to which somebody is connected, but for ourselves. `at`: before the look."""

    at: Now
    read: frozenset[Ref]


GatewayFact = (
    PlayRequested
    | PlayOpened
    | PlayRefused
    | PlaySilent
    | PlayerLeft
    | ReaderCame
    | ReaderSent
    | ReaderLeft
    | SessionRead
    | StopAsked
    | SessionStopped
    | SessionNotStopped
    | ReadersSeen
)

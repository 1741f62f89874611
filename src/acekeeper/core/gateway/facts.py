"""What players of the gateway do, and what engines answer them."""

from msgspec import Struct

from acekeeper.core.gateway.model import Hold, Ref, Wanted
from acekeeper.core.model import Now, Opening
from acekeeper.core.names import OfOneStart


class PlayRequested(Struct, frozen=True):
    """`received`: when the player asked first. `within`: the seconds it waits from then on."""

    request: str
    wanted: Wanted
    received: Now
    within: float
    instead_of: str = ""


class PlayOpened(OfOneStart, frozen=True):
    request: str
    opening: Opening


class PlayRefused(OfOneStart, frozen=True):
    """The engine says, in its `words`, that the content cannot be had."""

    request: str
    words: str


class PlaySilent(OfOneStart, frozen=True):
    """The engine did not answer: it broke off (`broken`), or was given up."""

    request: str
    why: str
    broken: bool = False
    excused: bool = False


class PlayerLeft(Struct, frozen=True):
    """Before its answer was out. `stream`: the session that it was to get."""

    request: str
    stream: str = ""


class ReaderCame(Struct, frozen=True):
    """A player asks for the picture of a session, and waits."""

    stream: str


class ReaderSent(Struct, frozen=True):
    """A player that waited was sent on to the engine's own content."""

    stream: str


class ReaderLeft(Struct, frozen=True):
    """A player that waited gave up, or is sent elsewhere."""

    stream: str


class SessionRead(Struct, frozen=True):
    """The list of an HLS session, or the stat of any session, was asked for here."""

    stream: str


class StopAsked(Struct, frozen=True):
    """A player stops its session."""

    stream: str


class SessionStopped(OfOneStart, frozen=True):
    """What was held on an engine is gone, by the engine's own word."""

    hold: Hold


class SessionNotStopped(OfOneStart, frozen=True):
    hold: Hold
    why: str


class ReadersSeen(Struct, frozen=True):
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

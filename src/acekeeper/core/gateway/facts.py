"""What players of the gateway do, and what engines answer them."""

from msgspec import Struct

from acekeeper.core.gateway.model import Elsewhere, Hold, NotPlayed, Ref, Wanted
from acekeeper.core.model import Now, Opening
from acekeeper.core.names import OfOneStart


class PlayRequested(Struct, frozen=True):
    """`received`: when the player asked first. `within`: the seconds it waits from then on.
    `for_host`: the host that asks for its player. Without `may_start` only an engine that is free
    will do."""

    request: str
    wanted: Wanted
    received: Now
    within: float
    instead_of: str = ""
    for_host: str = ""
    may_start: bool = True


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
    """Before its answer was out. `stream`: the session that it was to get; `host`: where, if that
    is another one."""

    request: str
    stream: str = ""
    host: str = ""


class HostPlayed(Struct, frozen=True):
    """Another host opened the session that it was asked for."""

    request: str
    session: Elsewhere


class HostDeclined(Struct, frozen=True):
    """Another host did not. `why`: None if it could not be asked, or did not answer. `is_away`: it
    is not connected, and heard nothing of it."""

    request: str
    host: str
    words: str
    why: NotPlayed | None = None
    is_away: bool = False


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
    | HostPlayed
    | HostDeclined
    | ReaderCame
    | ReaderSent
    | ReaderLeft
    | SessionRead
    | StopAsked
    | SessionStopped
    | SessionNotStopped
    | ReadersSeen
)

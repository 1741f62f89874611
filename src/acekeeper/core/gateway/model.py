"""The values of what players of the gateway want and have."""

from enum import StrEnum

from msgspec import Struct

from acekeeper.core.doubt import Content
from acekeeper.core.model import Now, Opening
from acekeeper.core.names import Slot

Ref = tuple[Slot, str]
"""An engine: its slot and its incarnation."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What a player asks for: the same for every engine that is asked. `query` is passed on as it
    came, but for what names the content and the form."""

    content: Content
    is_hls: bool
    as_json: bool
    player: str  # the address it comes from
    arrival: str  # the address of this host at which it came in
    query: str = ""


class Attempt(Struct, frozen=True):
    """An engine that was asked for a play; `at` is monotonic."""

    ref: Ref
    at: float


class Asked(Struct, frozen=True):
    """Another host that was asked for a play; `at` is monotonic."""

    host: str
    at: float
    may_start: bool  # it may start an engine for it


class Elsewhere(Struct, frozen=True, kw_only=True):
    """A session that another host opened for a player. `origin`: of the gateway there, as the
    player reaches it: `http://192.0.2.11:6878`."""

    host: str
    origin: str
    opening: Opening
    is_hls: bool


class HostAnswer(StrEnum):
    """What became of a play that another host was asked for; a label of metrics."""

    PLAYED = "played"
    REFUSED = "refused"  # its engines said that the content cannot be had
    SILENT = "silent"  # its engines, or it, did not answer
    NO_ENGINE = "no_engine"
    UNREACHABLE = "unreachable"  # nobody of that name is connected


class PlayAsk(Struct, frozen=True, kw_only=True):
    """What one host asks of another. `request` is the asking host's name for it; the `arrival` of
    `wanted` says nothing there. `within`: the seconds for which the player waits on."""

    request: str
    wanted: Wanted
    within: float
    may_start: bool


class Play(Struct, frozen=True, kw_only=True):
    """A player that waits, from its request to its answer."""

    id: str
    wanted: Wanted
    received: Now  # its first request: a restart of ours may lie between
    until: float  # how long it waits, monotonic
    instead_of: str = ""  # the stream from which it is moved
    attempts: tuple[Attempt, ...] = ()  # without an answer so far
    tried: frozenset[Ref] = frozenset()  # engines that were asked, whatever came of it
    silent: frozenset[Ref] = frozenset()  # of these: those that broke off, or were given up
    refused: tuple[str, ...] = ()  # the engines' words
    waits_for: Attempt | None = None  # an engine that is being freed for it
    stream: str = ""  # the session it got
    for_host: str = ""  # the host that asked for it: it is asked of no other one
    may_start: bool = True  # else only an engine that is free will do
    asked: tuple[Asked, ...] = ()  # hosts without an answer so far
    tried_hosts: tuple[Asked, ...] = ()  # that were asked, whatever came of it
    there: Elsewhere | None = None  # the session it got from another host


class NotPlayed(StrEnum):
    """Why a player got nothing."""

    REFUSED = "refused"  # engines said that the content cannot be had
    SILENT = "silent"  # engines were asked, and none answered
    NO_ENGINE = "no_engine"  # none was free in time


class Declined(Struct, frozen=True):
    """Why a host did not play for another one."""

    why: NotPlayed
    words: str


class Hold(Struct, frozen=True):
    """A content that may play on an engine beside its streams: an open without an answer so far
    (`token` is empty), or a session that is not known to be stopped. It takes the place of a
    stream, and is on disk: whatever becomes of us, the session is stopped."""

    content: Content
    since: Now  # when it was asked for, or when its stop was first wanted
    infohash: str = ""
    token: str = ""
    is_hls: bool = False  # of an open: in which form
    opening: str = ""  # the play for which it is being opened
    stopping: bool = False  # its stop is under way
    retry: float = 0.0  # not stopped before; monotonic

    @property
    def kept(self) -> tuple[Content, str, str]:
        """What tells it from the others of its engine, also on disk."""
        return self.content, self.infohash, self.token


class Sign(StrEnum):
    """What told last that a session is read."""

    GIVEN = "given"  # its player may still come for the picture
    SENT = "sent"  # a player was sent on to the engine
    LIST = "list"  # its list was fetched
    LOOK = "look"  # the last look found that somebody is connected


class Reader(Struct, frozen=True):
    """What the gateway saw of the readers of a session; moments are monotonic. Not kept: after a
    restart of ours the session counts as opened then, and as one whose player came if it had had
    the time to."""

    opened: float
    last: float  # when the last one that waited was sent on to the engine, or gave up
    came: bool = False  # somebody asked for the picture
    waiting: int = 0  # players that wait for it now
    read: float = 0.0  # when its list, or its stat, was last asked for
    instead_of: Ref | None = None  # the engine on which its player waited in vain
    players: int = 1  # how often this session was given, and not given back
    player: str = ""  # the one address to which it was given; empty: several
    replaced: float | None = None  # when its player asked for something else

    def sign(self, *, is_hls: bool) -> tuple[Sign, float] | None:
        """By the gateway alone, and when; None while a player waits for the picture."""
        if self.waiting:
            return None
        if is_hls:
            return Sign.LIST, max(self.opened, self.read)
        return (Sign.SENT, self.last) if self.came else (Sign.GIVEN, self.opened)


class Look(Struct, frozen=True):
    """The engines that had a reader of others at one moment (monotonic)."""

    at: float
    read: frozenset[Ref]

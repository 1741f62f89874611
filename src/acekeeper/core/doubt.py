"""What speaks against an engine although it answers. Moments are monotonic seconds: none of it
outlives us."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from acekeeper.core.names import Slot


class Content(NamedTuple):
    """What a viewer watches, in the words of the events."""

    key_type: str
    key: str


class Suspicion(Struct, frozen=True):
    """Something speaks against an engine, and others are doubted first: it stays on the list."""

    content: Content
    since: float
    why: str


class Doubt(Struct, frozen=True):
    """Whether an engine plays. It is off the list until a try of `content` tells."""

    content: Content
    since: float
    why: str
    failures: int = 0  # tries in a row that failed
    trying: bool = False
    giving_way: bool = False  # the try is being broken off: a viewer came
    tried: float | None = None  # when the last try ended


class Smell(Struct, frozen=True):
    """A content whose streams ended as they do on an engine that hangs."""

    engines: frozenset[tuple[Slot, str]]
    last: float
    blamed: bool  # it is the content, not an engine


class Played(Struct, frozen=True):
    """A stream that lasted on an engine, with bytes that moved."""

    incarnation: str  # of the engine
    content: Content
    began: float
    last: float  # when its bytes were last seen to move


class Heard(Struct, frozen=True):
    """What the looks found out about a started stream."""

    fed: bool | None = None  # whether it ever had a peer or any speed; None: nobody said so far
    silent: float | None = None  # since this look the engine says nothing about it


class Callers(Struct, frozen=True):
    """Who was connected to an engine at the last look."""

    at: float
    since: Mapping[str, float]  # each connection, with the last look that did not see it
    nobody: float | None  # since this look nobody was there
    stopped: float = 0.0  # when a player last stopped what played here alone
    staying: frozenset[str] = frozenset()  # connections that were there before that, and still are


class Hunger(Struct, frozen=True):
    """No stream on an engine has a peer or any speed."""

    since: float
    told: bool = False  # it has lasted for so long that it counts as starving

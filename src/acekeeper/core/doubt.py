"""What speaks against an engine although it answers. Moments are monotonic seconds: none of it
outlives us."""

from dataclasses import dataclass
from typing import NamedTuple

from acekeeper.core.names import Slot


class Content(NamedTuple):
    """What a viewer watches, in the words of the events."""

    key_type: str
    key: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Whether an engine plays. It is off the list until a try of `content` tells."""

    content: Content
    since: float
    failures: int = 0  # tries in a row that failed
    trying: bool = False
    giving_way: bool = False  # the try is being broken off: a viewer came
    tried: float | None = None  # when the last try ended


@dataclass(frozen=True, slots=True)
class Smell:
    """A content whose streams ended as they do on an engine that hangs."""

    engines: frozenset[tuple[Slot, str]]
    last: float
    blamed: bool  # it is the content, not an engine


@dataclass(frozen=True, slots=True)
class Unbegun:
    """Clients asked which engine is free, at two times, and no stream has begun since."""

    first: float | None = None
    second: float | None = None
    doubted: frozenset[tuple[Slot, str]] = frozenset()  # for that, since a stream began


@dataclass(frozen=True, slots=True)
class Hunger:
    """No stream on an engine has a peer or any speed."""

    since: float
    told: bool = False  # it has lasted for so long that it counts as starving

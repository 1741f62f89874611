"""The values of what hosts of a fleet say of themselves. Moments are monotonic seconds of this
host, but for `since`: the clocks of two hosts are never compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct


class Digest(Struct, frozen=True, kw_only=True):
    """What a host says of itself with every message. In maintenance it has nothing free and no
    room."""

    version: str
    engines: int
    free: int  # engines that a player can have at once
    room: int  # engines that it may start now
    streams: int
    maintenance: bool = False
    panel: str = ""  # the URL of its panel, if others reach it


class Position(Struct, frozen=True):
    """How far a run of acekeeper has told of its engines. `epoch` names the run, and is compared
    for equality only; `seq` counts its changes."""

    epoch: str
    seq: int


class Doing(StrEnum):
    """What an engine of another host is doing."""

    STARTING = "starting"
    FREE = "free"
    TAKEN = "taken"  # it plays, or is promised to somebody
    DRAINING = "draining"
    STOPPING = "stopping"
    UNWELL = "unwell"  # it does not answer, or is doubted


class SharedEngine(Struct, frozen=True):
    """An engine, as other hosts see it. `id`: the name of its container, unique on its host."""

    id: str
    port: int
    doing: Doing
    streams: int


class Standing(StrEnum):
    """How much the last word of a host still says."""

    LIVE = "live"
    STALE = "stale"  # nothing is heard, perhaps for our own fault: it counts for a while
    LOST = "lost"  # its engines are out of the view


class Replica(Struct, frozen=True, kw_only=True):
    """What is known of another host."""

    host: str
    digest: Digest
    heard: float  # its last word
    since: float  # wall time: its standing is as it is
    standing: Standing = Standing.LIVE
    at: Position = Position("", 0)
    engines: Mapping[str, SharedEngine] = {}  # by id
    is_whole: bool = False  # `engines` is what it told up to `at`
    asked: float | None = None  # when it was last asked for all of it, while it is not whole


class Link(Struct, frozen=True):
    """Our own connection to the message system."""

    is_up: bool = False
    since: float = 0.0
    why: str = "not connected yet"  # it is down


@dataclass(slots=True)
class Fleet:
    """Only `apply` and the functions it calls change it. Without a fleet it stays empty."""

    link: Link = field(default_factory=Link)
    hosts: dict[str, Replica] = field(default_factory=dict)
    drops: dict[tuple[str, str], None] = field(default_factory=dict)  # host, request: to be told

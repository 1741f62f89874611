"""The values of what hosts of a fleet say of themselves. Moments are monotonic seconds of this
host, but for `since`: the clocks of two hosts are never compared."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
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
    at: Position = Position("", 0)  # `engines` is what it had then
    engines: Mapping[str, SharedEngine] = {}  # by id
    is_whole: bool = False  # it told of nothing later
    asked: float | None = None  # when it was last asked for all of it, while it is not whole


class Link(Struct, frozen=True):
    """Our own connection to the message system."""

    is_up: bool = False
    since: float = 0.0
    at: float = 0.0  # the same moment, monotonic
    why: str = "not connected yet"  # it is down


@dataclass(slots=True)
class Fleet:
    """Only `apply` and the functions it calls change it. Without a fleet it stays empty."""

    link: Link = field(default_factory=Link)
    hosts: dict[str, Replica] = field(default_factory=dict)
    drops: dict[tuple[str, str], None] = field(default_factory=dict)  # host, request: to be told
    # Hosts of each standing, the one that was heard longest ago first; of those that are lost, the
    # one lost longest ago.
    order: dict[Standing, OrderedDict[str, None]] = field(
        default_factory=lambda: {standing: OrderedDict() for standing in Standing}
    )
    lacking: dict[str, None] = field(default_factory=dict)  # live ones that are not whole
    # The hosts to which players were sent, by what others may share with them; few, the oldest
    # first.
    sent: OrderedDict[Hashable, str] = field(default_factory=OrderedDict)

    def put(self, replica: Replica) -> None:
        host, before = replica.host, self.hosts.get(replica.host)
        place = replica.standing, replica.heard
        if before is not None and (before.standing, before.heard) != place:
            del self.order[before.standing][host]
        self.hosts[host] = replica
        self.order[replica.standing][host] = None  # the last one, if it has a new place
        if replica.is_whole or replica.standing is not Standing.LIVE:
            self.lacking.pop(host, None)
        else:
            self.lacking[host] = None

    def remove(self, replica: Replica) -> None:
        del self.hosts[replica.host]
        del self.order[replica.standing][replica.host]

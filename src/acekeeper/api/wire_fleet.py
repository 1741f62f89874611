"""The shapes of what we say of the fleet."""

from typing import Literal

from msgspec import Struct

from acekeeper.api.wire import Moment

Standing = Literal["live", "stale", "lost"]
Doing = Literal["starting", "free", "taken", "draining", "stopping", "unwell"]


class FleetLink(Struct):
    """Our own connection to the others. `why`: it is down."""

    up: bool
    since: Moment | None
    why: str | None


class FleetCounts(Struct):
    """Hosts, this one among them."""

    live: int
    stale: int
    lost: int


class FleetTotals(Struct):
    name: str
    link: FleetLink
    hosts: FleetCounts


class FleetTile(Struct):
    """What the panel says of a host. `since`: its standing is as it is. Of one that is lost
    nothing is counted."""

    host: str | None  # None: this one, without a fleet
    is_this: bool
    standing: Standing
    since: Moment | None
    version: str
    engines: int
    free: int  # engines that a player can have at once
    room: int  # engines that it may start now
    streams: int
    maintenance: bool
    panel: str | None  # its URL, where others reach it


class FleetHost(FleetTile):
    age_s: float  # of its last word


class FleetReport(Struct):
    """`name`, `host` (this one) and `link` are None without a fleet."""

    name: str | None
    host: str | None
    link: FleetLink | None
    hosts: list[FleetHost]  # this one first, then by name


class FleetEngine(Struct):
    id: str  # the name of its container
    port: int
    doing: Doing
    streams: int


class FleetHostWithEngines(Struct):
    """`complete`: it has told of all of its engines, and no word of it was missed since."""

    host: FleetHost
    complete: bool
    engines: list[FleetEngine]  # by port

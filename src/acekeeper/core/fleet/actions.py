"""What other hosts are asked and told."""

from msgspec import Struct


class Sync(Struct, frozen=True):
    """Asks a host for all of its engines."""

    host: str


class AskHost(Struct, frozen=True):
    """Asks a host to play what a player wants, which waits for `within` more seconds. Without
    `may_start` only an engine that is free there will do."""

    request: str
    host: str
    within: float
    may_start: bool


class Drop(Struct, frozen=True):
    """Tells a host that the session which it was asked for is not wanted any more."""

    host: str
    request: str


FleetAction = Sync | AskHost | Drop

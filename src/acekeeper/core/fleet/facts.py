"""What is heard of other hosts, and of the connection to them. `host` is who speaks, by the
subject of the message."""

from msgspec import Struct

from acekeeper.core.fleet.model import Digest, Position, SharedEngine


class BeatHeard(Struct, frozen=True, kw_only=True):
    """Once a second."""

    host: str
    at: Position
    digest: Digest


class ChangeHeard(Struct, frozen=True, kw_only=True):
    """Applied where `at` is the next after what is known. `gone`: ids of engines."""

    host: str
    at: Position
    digest: Digest
    up: tuple[SharedEngine, ...] = ()
    gone: tuple[str, ...] = ()


class SnapshotHeard(Struct, frozen=True, kw_only=True):
    """All of its engines, as it was asked for."""

    host: str
    at: Position
    digest: Digest
    engines: tuple[SharedEngine, ...]


class LinkUp(Struct, frozen=True):
    """What is sent arrives, and comes back."""


class LinkDown(Struct, frozen=True):
    why: str


FleetFact = BeatHeard | ChangeHeard | SnapshotHeard | LinkUp | LinkDown

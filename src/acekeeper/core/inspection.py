"""What an operator may want to know and no rule needs."""

from collections.abc import Mapping

from msgspec import Struct

from acekeeper.core.names import Slot


class Inspection(Struct, frozen=True, kw_only=True):
    """What the runtime knows of an engine beside its state, for an operator; None where it does
    not, and `unread` where it could not find out. Times are wall time."""

    unit: str | None = None
    status: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    oom_killed: bool | None = None
    image: str | None = None
    image_id: str | None = None
    image_digest: str | None = None
    created: float | None = None
    unread: str | None = None


class Logged(Struct, frozen=True):
    """Something that happened, as it is on disk. Ids only rise."""

    id: int
    wall: float
    kind: str
    engine: Slot | None
    stream: str
    data: Mapping[str, object]

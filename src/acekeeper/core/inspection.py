"""What an operator may want to know of an engine and no rule needs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
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

"""What Podman says of a container, as far as an operator of ours wants to know it."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from acekeeper.core.inspection import Inspection

_Text = Annotated[str, Meta(max_length=1024)]


class _State(Struct, rename="pascal"):
    status: _Text | None = None
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool | None = field(default=None, name="OOMKilled")


class _Container(Struct, rename="pascal"):
    state: _State = field(default_factory=_State)
    image: _Text | None = None
    image_name: _Text | None = None
    image_digest: _Text | None = None
    created: datetime | None = None


def read_inspection(unit: str, attributes: dict[str, Any]) -> Inspection:
    try:
        found = msgspec.convert(attributes, _Container)
    except msgspec.ValidationError as error:
        return Inspection(unit=unit, unread=f"Podman said what is not understood: {error}")
    return Inspection(
        unit=unit,
        status=found.state.status,
        pid=found.state.pid or None,
        exit_code=None if found.state.status == "running" else found.state.exit_code,
        oom_killed=found.state.oom_killed,
        image=found.image_name,
        image_id=found.image,
        image_digest=found.image_digest,
        created=found.created.timestamp() if found.created else None,
    )

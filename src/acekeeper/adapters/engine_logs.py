"""The files that engines print to, one for each port. A start begins its own, and leaves the one
before beside it. One that is full begins anew, and what was in it is gone."""

import os
from collections.abc import Iterable
from pathlib import Path

from acekeeper.core.names import Slot

LARGEST = 4_000_000  # bytes; conmon has the same from engine@.container


def log_file(state_dir: Path, slot: Slot) -> Path:
    return state_dir / "logs" / f"{slot.container_name}.log"


def begin(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))


def bound(paths: Iterable[Path]) -> None:
    """Who appends to one goes on at its beginning."""
    for path in paths:
        try:
            if path.stat().st_size > LARGEST:
                os.truncate(path, 0)
        except OSError:  # none could be written, or it cannot be now: it is looked at again
            pass

"""The files that engines print to, one for each port. A start begins its own, and leaves the one
before beside it. One that is full begins anew, and what was in it is gone."""

import os
from collections.abc import Iterable
from pathlib import Path

from acekeeper.core.names import Slot
from acekeeper.errors import EngineFailed

LARGEST = 4_000_000  # bytes; conmon has the same from engine@.container


def log_file(state_dir: Path, slot: Slot) -> Path:
    return state_dir / "logs" / f"{slot.container_name}.log"


def begin(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))


def must_begin(path: Path) -> None:
    """For who cannot start an engine without."""
    try:
        begin(path)
    except OSError as error:
        raise EngineFailed(f"Its log cannot be made: {error}") from error


def bound(paths: Iterable[Path]) -> None:
    """Who appends to one goes on at its beginning."""
    for path in paths:
        try:
            if path.stat().st_size > LARGEST:
                os.truncate(path, 0)
        except OSError:  # none could be written, or it cannot be now: it is looked at again
            pass

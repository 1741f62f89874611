"""One acekeeper per state directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acekeeper.errors import BadSetting


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """The kernel releases it with the process, however that ends. Where no lock file can be
    made, there is nothing to guard either: nobody can keep anything there."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state_dir / "lock", os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BadSetting(
            f"another acekeeper is running on STATE_DIR {state_dir}",
            "Stop it, or give this one a STATE_DIR of its own",
        ) from None
    try:
        yield
    finally:
        os.close(lock)

"""One acekeeper per state directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acekeeper.errors import BadSetting


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """BadSetting when another process holds it. The kernel releases it with the process, however
    that ends."""
    lock = _open(state_dir)
    if lock is None:
        yield
        return
    try:
        _take(lock, state_dir)
        yield
    finally:
        os.close(lock)


def _open(state_dir: Path) -> int | None:
    """None where no file can be made: nobody can keep anything there, so there is nothing to
    guard."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(state_dir / "lock", os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _take(lock: int, state_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadSetting(
            f"another acekeeper is running on STATE_DIR {state_dir}",
            "Stop it, or give this one a STATE_DIR of its own",
        ) from None

"""One acekeeper per state directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acekeeper.errors import BadSetting


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """BadSetting when another process holds it. The kernel releases it with the process, however
    that ends."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(_file(state_dir), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # nobody can keep anything there, so there is nothing to guard
        yield
        return
    try:
        if not _take(lock):
            raise BadSetting(
                f"another acekeeper is running on STATE_DIR {state_dir}",
                "Stop it, or give this one a STATE_DIR of its own",
            )
        with suppress(OSError):  # a full disk; only `holder` is to know
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)


def holder(state_dir: Path) -> int | None:
    """A pidfd of the acekeeper that holds this directory, if one does."""
    try:
        lock = os.open(_file(state_dir), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadSetting(
            f"the lock in STATE_DIR {state_dir} cannot be opened: {error.strerror}",
            "Do this as the user acekeeper runs as",
        ) from error
    try:
        if _take(lock):
            return None
        pidfd = os.pidfd_open(int(os.read(lock, 20)))
        # Held still: so whoever wrote the number lives, and had it when the pidfd was opened.
        if not _take(lock):
            return pidfd
        os.close(pidfd)
    except (ValueError, ProcessLookupError):  # it ends, or begins, this very moment
        pass
    finally:
        os.close(lock)
    return None


def _file(state_dir: Path) -> Path:
    return state_dir / "lock"


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

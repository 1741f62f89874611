"""One acekeeper per state directory."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from acekeeper.adapters.threads import within
from acekeeper.errors import BadSetting

_DISK_WITHIN = 1.0


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """BadSetting when another process holds it. The kernel releases it with the process, however
    that ends."""
    try:
        lock = _open(state_dir)
    except OSError:  # nobody can keep anything there, so there is nothing to guard
        yield
        return
    try:
        if not _take(lock):
            raise BadSetting(
                f"another acekeeper is running on STATE_DIR {state_dir}",
                "Stop it, or give this one a STATE_DIR of its own",
            )
        with suppress(OSError):  # a disk that takes nothing; only `holder` is to know
            within(_DISK_WITHIN, partial(_sign, os.dup(lock)))
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
        pid = int(os.read(lock, 20))
        pidfd = os.pidfd_open(pid)
        # Held still: so its holder lives, and had this number when the pidfd was opened, unless
        # it could not write it and this is the number of one before.
        if not _take(lock) and _has_open(pid, lock):
            return pidfd
        os.close(pidfd)
    except (ValueError, ProcessLookupError, FileNotFoundError):
        pass  # it ends, or begins, this very moment
    finally:
        os.close(lock)
    return None


@contextmanager
def waited_for(state_dir: Path, seconds: float) -> Iterator[None]:
    """Waits until nobody else holds the lock, for so many seconds at most. The child that a killed
    acekeeper has just forked holds it until it runs its program; only then its mark is there."""
    try:
        lock = os.open(_file(state_dir), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # no acekeeper was ever here
        yield
        return
    try:
        deadline = time.monotonic() + seconds
        while not _take(lock) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        os.close(lock)


def _open(state_dir: Path) -> int:
    """Also where nothing can be written: without O_CREAT no frozen disk is waited for, and a lock
    that is only read is one."""
    file = _file(state_dir)
    for flags in (os.O_RDWR, os.O_RDONLY):
        with suppress(OSError):
            return os.open(file, flags | os.O_CLOEXEC)

    def create() -> int:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    return within(_DISK_WITHIN, create)


def _sign(lock: int) -> None:
    try:
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    finally:
        os.close(lock)


def _has_open(pid: int, lock: int) -> bool:
    wanted = os.fstat(lock)
    with suppress(PermissionError):  # of another user, so it is not
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    return False


def _file(state_dir: Path) -> Path:
    return state_dir / "lock"


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

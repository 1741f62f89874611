"""Where the lab keeps its files, and the locks that keep two runs apart."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .command import run

CACHE = Path("/var/cache/acekeeper-lab")  # may be deleted whenever no lab is up
STATE = Path("/var/lib/acekeeper-lab")  # on disk: Podman in a guest cannot overlay an overlay


@contextmanager
def locked(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Yields whether the lock was taken; only `wait=False` can fail to."""
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def remove_tree(path: Path) -> None:
    # Never through a mount that a killed run left in a guest's tree.
    run("rm", "-rf", "--one-file-system", "--", str(path), timeout_s=300)

"""Word of the engines that `acekeeper stop` ended, for the service that finds them gone. It names
their starts, which never come again: an old word harms nobody."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def note(state_dir: Path, starts: Iterable[str]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(_file(state_dir), flags, 0o600), "w") as file:
        file.writelines(f"{incarnation}\n" for incarnation in starts)


def noted(state_dir: Path) -> frozenset[str]:
    """Empty if it cannot be read: its engines are called vanished then, which is true too."""
    with suppress(OSError):
        return frozenset(_file(state_dir).read_text(errors="replace").split())
    return frozenset()


def _file(state_dir: Path) -> Path:
    return state_dir / "stopped"

"""The machine a benchmark ran on, and whether it had it to itself."""

import os
import platform
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_WATCHED_S = 1.0
_QUIET = 0.05  # of the processors, used by others
_STOLEN = 0.01


def name(directory: Path) -> str:
    """One line; the file system is that of `directory`."""
    cpu = Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"^(?:model name|Model|Hardware)\s*: (.+)$", cpu, re.MULTILINE)
    return (
        f"{os.cpu_count()} processors ({model[1] if model else platform.machine()}), "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"Linux {platform.release()}, {_file_system(directory)}"
    )


def _file_system(directory: Path) -> str:
    """Of the mount that is nearest above it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    above = {path: kind for _, path, kind, *_ in mounts if directory.is_relative_to(path)}
    return above[max(above, key=len)]


class Ticks(NamedTuple):
    """Of all processors together, since the machine started."""

    busy: int
    stolen: int
    all: int

    @classmethod
    def now(cls) -> "Ticks":
        line, _, _ = Path("/proc/stat").read_text("ascii").partition("\n")
        user, nice, system, idle, waiting, irq, soft, stolen = map(int, line.split()[1:9])
        busy = user + nice + system + irq + soft
        return cls(busy, stolen, busy + idle + waiting + stolen)


def share(of: int, all_of: int) -> float:
    return of / all_of if all_of else 0.0


class Noise:
    """What others did with the machine: looked at where nothing of ours ran, before and after;
    and what its own host took from it all the while."""

    def __init__(self) -> None:
        self._began = Ticks.now()
        self._load = os.getloadavg()[0]
        self._others = [_busy_now()]

    def warnings(self) -> Iterator[str]:
        """To be asked when all of ours has ended."""
        self._others.append(_busy_now())
        ended = Ticks.now()
        others = max(self._others)
        stolen = share(ended.stolen - self._began.stolen, ended.all - self._began.all)
        if others > _QUIET or stolen > _STOLEN:
            yield (
                f"the machine was not quiet: others used {others:.0%} of its processors before or"
                f" after the run, {stolen:.1%} were stolen in it, and the load was"
                f" {self._load:.1f} when it began. The ratios say more than the numbers."
            )


def _busy_now() -> float:
    before = Ticks.now()
    time.sleep(_WATCHED_S)
    after = Ticks.now()
    return share(after.busy - before.busy, after.all - before.all)

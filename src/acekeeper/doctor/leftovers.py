"""Room in the runtime directory, a small file system in memory, where Podman keeps what it has to
know of containers that run. What a killed Podman left there, or a defect of it, nobody removes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from acekeeper.doctor.files import room
from acekeeper.doctor.finding import Finding, mendable, run
from acekeeper.settings import Settings

_PLACES = (
    "containers/overlay-containers",
    "crun",
    "libpod/tmp/exits",
    "libpod/tmp/persist",
)
_ID = re.compile("[0-9a-f]{64}")
_AT_ONCE = 4000  # paths to a command, whose length is bounded


def check(_: Settings) -> Iterator[Finding]:
    runtime = Path(os.environ["XDG_RUNTIME_DIR"])
    if not runtime.is_dir():  # it goes with the account's service manager
        return
    found = room(runtime)
    if found.is_well or not (paths := _leftovers(runtime)):
        yield found
        return
    yield mendable(
        f"{found.text}, and {len(paths)} files and directories there are of containers that are no"
        " more",
        *(("rm", "-rf", "--", *paths[n : n + _AT_ONCE]) for n in range(0, len(paths), _AT_ONCE)),
        advice=f"Remove those of no container from {' and '.join(_PLACES)} in {runtime}",
    )


def _leftovers(runtime: Path) -> list[str]:
    # Before who lives is asked: what begins meanwhile is not among them.
    there = [
        p for place in _PLACES for p in runtime.joinpath(place).glob("*") if _ID.fullmatch(p.name)
    ]
    known = set(run("podman", "ps", "--all", "--external", "--quiet", "--no-trunc").out.split())
    living = known | _watched()
    return [str(path) for path in there if path.name not in living]


def _watched() -> set[str]:
    """The containers that have a monitor, also those that Podman no longer knows of."""
    ids = set[str]()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if Path(os.fsdecode(words[0])).name == "conmon" and b"-c" in words[:-1]:
            ids.add(os.fsdecode(words[words.index(b"-c") + 1]))
    return ids

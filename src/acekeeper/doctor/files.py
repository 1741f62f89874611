"""The state directory, and room on the disks that engines and database need."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from acekeeper.doctor.finding import Finding, well, wrong
from acekeeper.settings import Settings

_GIB = 1 << 30
_FEW = 0.05


def check(settings: Settings) -> Iterator[Finding]:
    state = settings.state_dir
    try:
        with tempfile.NamedTemporaryFile(dir=state, prefix=".doctor-"):
            yield well(f"STATE_DIR {state} is writable")
    except OSError as error:
        yield wrong(
            f"STATE_DIR {state} is not writable: {error.strerror}",
            "Let this user own it, or start the service, which makes it",
        )
    for path in (state, Path.home()):
        if path.exists():
            yield room(path)


def room(path: Path) -> Finding:
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < min(disk.f_blocks * disk.f_frsize * _FEW, _GIB):
        return wrong(f"{path} has only {free >> 20} MiB left", "Make room on that file system")
    if disk.f_files and disk.f_favail < disk.f_files * _FEW:
        return wrong(f"{path} has only {disk.f_favail} inodes left", "Remove files there")
    return well(f"{path} has room")

"""The state directory, and room on the disks that engines and database need."""

import os
import shutil
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
    for path in (state, Path.home(), Path(os.environ["XDG_RUNTIME_DIR"])):
        if path.exists():
            yield room(path)


def room(path: Path) -> Finding:
    space = shutil.disk_usage(path)
    if space.free < min(space.total * _FEW, _GIB):
        free = f"{space.free // (1 << 20)} MiB"
        return wrong(f"{path} has only {free} left", "Make room on that file system")
    inodes = os.statvfs(path)
    if inodes.f_files and inodes.f_favail < inodes.f_files * _FEW:
        return wrong(f"{path} has only {inodes.f_favail} inodes left", "Remove files there")
    return well(f"{path} has room")

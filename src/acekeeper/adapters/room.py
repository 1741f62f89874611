"""Room on the file systems that a start of an engine writes to."""

import os
from pathlib import Path

# A start takes some 50 KiB and 20 inodes of each; there are a few at once.
_BYTES, _INODES = 1 << 20, 100


def full(path: Path) -> str:
    """Why an engine would find no room there, in words that stay; empty if it would."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return ""  # who starts engines says it better
    if disk.f_bavail * disk.f_frsize < _BYTES:
        return f"{path} is full"
    if disk.f_files and disk.f_favail < _INODES:
        return f"{path} is full: it has no inodes left"
    return ""

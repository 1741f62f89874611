"""Small file systems of their own, to be filled, made read-only and frozen; as root."""

import errno
import os
import subprocess
from pathlib import Path
from typing import Self

_SIZE = 32 << 20
_WITHIN_S = 60
_FREEZE = """
fsfreeze --freeze "$1" && echo frozen
read -r _
fsfreeze --unfreeze "$1"
"""
ACCOUNT = 61_234  # of nobody: whose disk it is has no rights elsewhere


class Disk:
    """Mounted below `directory` until the end of the block, whatever was done to it."""

    def __init__(self, directory: Path, block: int = 4096) -> None:
        self._image = directory / "disk.image"
        self._filler: Path | None = None
        self._freezer: subprocess.Popen[bytes] | None = None
        self._block = block
        self.path = directory / "disk"

    def __enter__(self) -> Self:
        with self._image.open("wb") as image:
            image.truncate(_SIZE)
        # Nothing is kept back for root, who fills it.
        options = ["-q", "-m", "0", "-b", str(self._block)]
        _run("mkfs.ext4", *options, "-E", f"root_owner={ACCOUNT}:{ACCOUNT}", self._image)
        self.path.mkdir()
        _run("mount", "-o", "loop", self._image, self.path)
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        # The loop device goes with the last file that is open on it.
        _run("umount", "-l", self.path)
        self._image.unlink()

    def fill(self) -> None:
        """To the last block."""
        self._filler = self.path / "filler"
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 10, 1):
                _write_until_full(file.fileno(), size)
            os.fsync(file.fileno())

    def make_room(self) -> None:
        if self._filler is not None:
            self._filler.unlink()
            self._filler = None

    def make_read_only(self) -> None:
        _run("mount", "-o", "remount,ro", self.path)

    def make_writable(self) -> None:
        _run("mount", "-o", "remount,rw", self.path)

    def freeze(self) -> None:
        """Until `thaw`, or until this process ends, however it does: what hangs could not even be
        killed."""
        self._freezer = subprocess.Popen(
            ["sh", "-c", _FREEZE, "sh", self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not for it
        )
        assert self._freezer.stdout
        assert self._freezer.stdout.readline() == b"frozen\n"

    def thaw(self) -> None:
        if self._freezer is not None:
            self._freezer.communicate(timeout=_WITHIN_S)
            assert self._freezer.returncode == 0
            self._freezer = None


def why_none() -> str:
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "file systems of its own need root"
    if not Path("/dev/loop-control").exists():
        return "file systems of its own need loop devices"
    return ""


def as_account(command: list[str | Path]) -> list[str | Path]:
    """May read all, so that the interpreter may be anybody's, and write only what is its own."""
    capability = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    who = ["--reuid", str(ACCOUNT), "--regid", str(ACCOUNT), "--clear-groups"]
    return ["setpriv", *who, *capability, *command]


def _write_until_full(fd: int, size: int) -> None:
    try:
        while True:
            os.write(fd, b"x" * size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_WITHIN_S)

"""The unit of which each engine's is an instance, as systemd has read it.

Podman's generator makes it of the quadlet and its drop-ins, at each of systemd's reloads. What is
not read yet is not in force: an engine that starts is made by what systemd read last.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from acekeeper.core.build import Build

_PROGRAM = re.compile(r"^ExecStart=[-@:+!]*(\S+)", re.MULTILINE)
UNIT = "engine@.service"


class Template:
    def __init__(self, image: str, runtime_dir: Path) -> None:
        given = os.environ.get("XDG_CONFIG_HOME", "")
        settings = Path(given) if given.startswith("/") else Path.home() / ".config"
        self._image = image
        self._generated = runtime_dir / "systemd/generator" / UNIT
        self._drop_ins = settings / "systemd/user" / f"{UNIT}.d"
        self._fingerprint = ""

    def build(self) -> Build:
        """Of a start that comes now: with this image, by what the unit says. While somebody changes
        it, by what it said at the last look."""
        try:
            read = self._generated.stat().st_mtime_ns
            files = [self._generated, *self._found()]
            is_read = all(path.stat().st_mtime_ns <= read for path in (*files, *self._directory()))
            if is_read or not self._fingerprint:
                told = [self._image.encode()]
                told += (
                    part for f in files for part in (f.name.encode(), in_one_order(f.read_bytes()))
                )
                self._fingerprint = hashlib.sha256(b"\0".join(told)).hexdigest()
        except OSError:
            pass  # systemd reloads, or it has no such unit
        return Build(self._image, self._fingerprint)

    @property
    def absence(self) -> str:
        """What is not there of it, or of what it runs; empty when nothing."""
        try:
            program = _PROGRAM.search(self._generated.read_text())
        except OSError:
            return f"{UNIT} is not there: its quadlet is not installed, or Podman's generator fails"
        if program and not os.access(program[1], os.X_OK):
            return f"{program[1]} is not there, or cannot be run"
        return ""

    def _directory(self) -> Iterator[Path]:
        """A drop-in that was removed has changed it."""
        if self._drop_ins.is_dir():
            yield self._drop_ins

    def _found(self) -> list[Path]:
        return sorted(self._drop_ins.glob("*.conf"))


def in_one_order(unit: bytes) -> bytes:
    """Podman's generator writes the options of its command in another order each time. The keys
    they come from it leaves as they are."""
    lines = unit.splitlines()
    return b"\n".join(
        b" ".join(sorted(line.split())) if line.startswith(b"ExecStart=") else line
        for line in lines
    )

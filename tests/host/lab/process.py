"""Processes and cgroups that the lab started, told apart from whatever took their number since."""

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .machine import boot_id

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Process:
    pid: int
    started: str  # in clock ticks since boot
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        after_name = stat.rpartition(")")[2].split()
        return cls(pid, after_name[19], boot_id())

    @classmethod
    def load(cls, path: Path) -> "Process | None":
        try:
            pid, started, boot = path.read_text().split()
        except (
            FileNotFoundError,
            ValueError,
        ):  # a run killed between open and write leaves it empty
            return None
        return cls(int(pid), started, boot)

    def save(self, path: Path) -> None:
        path.write_text(f"{self.pid} {self.started} {self.boot}\n")

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def terminate(self, limit_s: float) -> None:
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Asked after the open: from here on the handle cannot mean another process.
            if self.alive():
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                select.select([handle], [], [], limit_s)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


class Cgroup:
    """One in cgroup2 and, on a machine that mounts both versions, one in v1's systemd tree."""

    def __init__(self, name: str) -> None:
        unified = (CGROUPS / "cgroup.controllers").exists()
        roots = [CGROUPS] if unified else [CGROUPS / "unified", CGROUPS / "systemd"]
        self.paths = [root / name for root in roots]

    def create(self) -> None:
        for path in self.paths:
            path.mkdir(exist_ok=True)

    def kill(self, limit_s: float) -> None:
        """Ends what is left in it: only processes the lab started can be there."""
        path = self.paths[0]
        if not path.exists():
            return
        (path / "cgroup.kill").write_text("1")
        with (path / "cgroup.events").open() as events:
            changed = select.poll()
            changed.register(events, select.POLLPRI)
            while "populated 1" in events.read():
                if not changed.poll(limit_s * 1000):
                    raise LabError(f"{path} does not get empty")
                events.seek(0)

    def remove(self) -> None:
        for top in self.paths:
            for path, _, _ in os.walk(top, topdown=False):
                Path(path).rmdir()

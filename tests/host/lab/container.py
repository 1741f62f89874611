"""The nspawn container that a host is, under a supervisor that outlives the command at hand."""

import subprocess
import sys
from pathlib import Path

from . import machine
from .command import PATH, run
from .network import Network, cut_link, remove_link
from .places import remove_tree
from .process import Cgroup, Process

SUPERVISE = Path(__file__).with_name("supervise.py")
NSPAWN = Path("/run/systemd/nspawn")
STOP_LIMIT_S = 60


class Container:
    def __init__(self, name: str, network: Network, state: Path) -> None:
        self.name = name
        self.root = state / "root"
        self._state = state
        self._network = network
        self._console = state / "console.log"
        self._supervisor = state / "supervisor"
        self._cgroup = Cgroup(name)
        self._link = f"vb-{name}"  # nspawn's name for our end of the cable
        self._started: subprocess.Popen[str] | None = None

    def unpack(self, tarball: Path) -> None:
        self.root.mkdir(parents=True)
        options = ("--zstd", "--xattrs", "--xattrs-include=*", "-xpf")
        run("tar", "-C", str(self.root), *options, str(tarball), timeout_s=300)

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link, which would lead out of the tree
        path.write_text(text)
        path.chmod(mode)

    def start(self) -> None:
        self._cgroup.create()
        cgroups = [str(path) for path in self._cgroup.paths]
        with self._console.open("w") as console:
            self._started = subprocess.Popen(
                [sys.executable, "-IS", str(SUPERVISE), *cgroups, "--", *self._command()],
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=console,
                env={"PATH": PATH, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                start_new_session=True,
                encoding="utf-8",
            )
        supervisor = Process.of(self._started.pid)
        if supervisor is not None:
            supervisor.save(self._supervisor)
        go = self._started.stdin
        assert go is not None
        with go:  # noted first: whoever heals after a kill finds it, or it never ran
            go.write("go\n")

    def is_running(self) -> bool:
        supervisor = Process.load(self._supervisor)
        return supervisor is not None and supervisor.alive()

    def stop(self) -> None:
        """At once, like pulling the plug: those it talked to hear nothing of it."""
        cut_link(self._link)
        supervisor = Process.load(self._supervisor)
        if supervisor is not None:
            supervisor.terminate(STOP_LIMIT_S)
        self._cgroup.kill(STOP_LIMIT_S)
        if self._started is not None:
            self._started.wait()
            self._started = None
        self._cgroup.remove()
        remove_link(self._link)
        for path in (NSPAWN / "unix-export" / self.name, NSPAWN / "propagate" / self.name):
            if path.exists():  # nspawn itself was killed
                run("umount", "--quiet", str(path), check=False)
                path.rmdir()

    def remove(self) -> None:
        """With all its files."""
        self.stop()
        remove_tree(self._state)

    def console(self) -> str:
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def _command(self) -> list[str]:
        return [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--console=pipe",
            f"--directory={self.root}",
            f"--machine={self.name}",
            f"--network-bridge={self._network.name}",
            "--resolv-conf=off",
            "--kill-signal=SIGKILL",
            # The machine may have no systemd of its own to ask.
            "--register=no",
            "--keep-unit",
            # Rootless Podman needs all this; the clock, though, would be the whole machine's.
            "--capability=all",
            "--drop-capability=CAP_SYS_TIME",
            "--system-call-filter=@keyring bpf",
            *(f"--bind={device}" for device in machine.DEVICES),
        ]

"""A host that can run engines as quadlets: Podman, an unprivileged user, the quadlets, the image of
the tests, and acekeeper's code with what it needs. Made by hand here, without the playbook."""

import json
import select
import shlex
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import image
from .lab import Host, cache
from .lab.command import run

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("drive_quadlet.py")
PACKAGES = "podman crun passt uidmap dbus-user-session catatonit sudo"
PYTHON = "3.13"
USER = "acekeeper"
HOME = "/var/lib/acekeeper"
ENVIRONMENT_FILES = f"{HOME}/.local/state/acekeeper/engines"
LIMIT_S = 30.0
# In the engine's own network, so the playing host cannot reach it.
ADMIN_PORT = 6999
MAKE_USER = f"""
useradd --system --home-dir {HOME} --create-home --shell /usr/sbin/nologin {USER}
usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {USER}
usermod --append --groups systemd-journal {USER}
loginctl enable-linger {USER}
"""


class EngineHost:
    def __init__(self, host: Host, built: image.Image, directory: Path) -> None:
        self.host = host
        self.image = built
        host.ssh("apt-get -qq update", timeout_s=120)
        install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
        host.ssh(f"{install} {PACKAGES}", timeout_s=200)
        host.ssh(MAKE_USER)
        self.uid = host.ssh(f"id -u {USER}").stdout.strip()
        host.copy(built.archive, "/tmp/engine.oci.tar")
        self.as_user("podman load -q -i /tmp/engine.oci.tar")
        self._install_quadlets(directory)
        code = directory / "code.tar"
        with tarfile.open(code, "w") as tar:
            tar.add(ROOT / "src/acekeeper", "acekeeper")
            tar.add(DRIVER, DRIVER.name)
        for archive in (_packages(), code):
            host.copy(archive, "/tmp/archive.tar")
            host.ssh("mkdir -p /opt/code && tar -C /opt/code -xf /tmp/archive.tar")
        self.as_user("systemctl --user start podman.socket")

    def as_user(self, command: str, *, check: bool = True) -> str:
        return self.host.ssh(f"cd / && {self._as_user()} timeout 60 {command}", check=check).stdout

    def show(self, unit: str, *names: str) -> dict[str, str]:
        wanted = ",".join(names)
        lines = self.as_user(f"systemctl --user show {unit} -p {wanted}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def pids(self, unit: str, program: str) -> list[int]:
        """Of a program in the unit's cgroup, and below it."""
        cgroup = self.show(unit, "ControlGroup")["ControlGroup"]
        look = f"cat $(find /sys/fs/cgroup{cgroup} -name cgroup.procs) | xargs ps -o pid=,args= -p"
        lines = (line.split(None, 1) for line in self.host.ssh(look).stdout.splitlines())
        return [int(pid) for pid, arguments in lines if arguments.startswith(program)]

    def files(self) -> list[str]:
        return self.host.ssh(f"ls {ENVIRONMENT_FILES}").stdout.split()

    def drive(self, image_id: str | None = None) -> "Driver":
        command = f"python3 /opt/code/{DRIVER.name} {image_id or self.image.id}"
        environment = f"HOME={HOME} PYTHONPATH=/opt/code"
        return Driver(self.host, f"cd / && {self._as_user()} {environment} {command}")

    def _as_user(self) -> str:
        return f"sudo -u {USER} XDG_RUNTIME_DIR=/run/user/{self.uid}"

    def _install_quadlets(self, directory: Path) -> None:
        installed = directory / "quadlets"
        variant = (ROOT / "quadlets/variants/emulator.conf").read_text().rstrip()
        drop_in = installed / "engine@.container.d"
        drop_in.mkdir(parents=True)
        unit = installed / "engine@.container"
        unit.write_text((ROOT / "quadlets/engine@.container").read_text())
        quick = f"{variant} --start-delay 0 --admin-port {ADMIN_PORT}\n"
        (drop_in / "variant.conf").write_text(quick)
        target = f"/etc/containers/systemd/users/{self.uid}"
        self.host.ssh(f"mkdir -p {target}")
        for path in (unit, drop_in):
            self.host.copy(path, target)
        self.as_user("systemctl --user daemon-reload")


class Driver:
    """The runtime in a process of the unprivileged user on the host, told over SSH what to do."""

    def __init__(self, host: Host, command: str) -> None:
        target = f"root@{host.address}"
        self._process = subprocess.Popen(
            ["ssh", *host.ssh_options, target, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.told: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.hear("RuntimeConnected")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def do(self, *words: object) -> dict[str, Any]:
        """Its answer: what the runtime returned or raised."""
        assert self._process.stdin is not None
        self._process.stdin.write(shlex.join(map(str, words)) + "\n")
        while (said := self._next())["kind"] != "answer":
            self.told.append(said)
        return said

    def hear(self, fact: str) -> dict[str, Any]:
        """The next fact that was told, which must be of this kind."""
        said = self.told.pop(0) if self.told else self._next()
        assert said["fact"] == fact, said
        return said

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + LIMIT_S
        while not select.select([self._process.stdout], [], [], 1.0)[0]:
            assert time.monotonic() < deadline, "the driver says nothing"
        line = self._process.stdout.readline()
        assert line, "the driver is gone"
        said: dict[str, Any] = json.loads(line)
        return said


def _packages() -> Path:
    """What acekeeper needs, as it is locked."""
    lock = ROOT / "requirements.lock"

    def make(path: Path) -> None:
        tree = path.with_name("tree")
        for_host = ("--python-version", PYTHON, "--only-binary=:all:", "--require-hashes")
        run(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--target", str(tree), *for_host, "--requirement", str(lock)),
            timeout_s=600,
        )
        with tarfile.open(path, "w") as tar:
            tar.add(tree, ".")

    return cache.kept("packages.tar", [lock.read_text(), PYTHON], make)

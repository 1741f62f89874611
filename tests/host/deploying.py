"""Runs the playbook on hosts of the lab, as an operator does.

Every deployment is of what `make dist` last made, with the engine image for tests; `make test-host`
sees to it, and to Ansible, first.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import image
from .image import Image
from .lab import Host
from .lab.command import run

ROOT = Path(__file__).parents[2]
PLAYBOOKS = ROOT / "ansible"
ANSIBLE = ROOT / ".venv-ansible/bin/ansible-playbook"
USER = "acekeeper"

Variables = Mapping[str, object]

# Settings with which acekeeper soon sees what a test does to its host.
INTERVALS = {
    "HEALTH_CHECK_INTERVAL_S": 5,
    "MONITOR_INTERVAL_S": 5,
    "AUTOSCALE_INTERVAL_S": 5,
}


@dataclass(frozen=True)
class Play:
    output: str
    status: int

    @property
    def recap(self) -> str:
        """The first host's line."""
        return self.output.partition("PLAY RECAP")[2].split("\n")[1]

    @property
    def changed(self) -> dict[str, int]:
        """By host; what the recap says."""
        recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", self.output, re.MULTILINE)
        return {host: int(count) for host, count in recap}

    def changes(self) -> list[str]:
        """The names of the tasks and handlers that changed something."""
        parts = re.split(r"^(?:TASK|RUNNING HANDLER) \[(.+?)\] \**$", self.output, flags=re.M)
        tasks = zip(parts[1::2], parts[2::2], strict=True)
        return [task for task, said in tasks if re.search(r"^changed: ", said, re.M)]


class Deployer:
    """An inventory, and the playbooks run on it."""

    def __init__(self, directory: Path, hosts: Iterable[Host], variables: Variables) -> None:
        self.variables = dict(variables)
        self.hosts = list(hosts)
        self.monitoring: list[Host] = []
        self.directory = directory
        self._logins: dict[str, str] = {}
        # Of its own: a connection kept to an earlier host of that address is dead. And short, as
        # the path of a socket has to be.
        self._connections = tempfile.mkdtemp(prefix="ansible-", dir="/run")
        weakref.finalize(self, shutil.rmtree, self._connections, ignore_errors=True)

    @property
    def release(self) -> Path:
        return Path(str(self.variables.get("acekeeper_release_dir", ROOT / "dist/release")))

    def log_in_as(self, host: Host, user: str) -> None:
        self._logins[host.name] = user

    def deploy(self, *options: str) -> Play:
        return self.play("deploy.yml", *options)

    def play(self, book: str, *options: str, check: bool = True) -> Play:
        result = run(*self._command(book, *options), timeout_s=1800, check=False)
        play = Play(result.stdout + result.stderr, result.returncode)
        if check and play.status:
            raise AssertionError(f"{book} failed:\n{play.output}")
        return play

    def interrupt(self, task: str) -> None:
        """Deploys, and kills Ansible when this task begins."""
        process = subprocess.Popen(
            self._command("deploy.yml"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        assert process.stdout
        with process:
            output = ""
            for line in process.stdout:
                output += line
                if f"[{USER} : {task}" in line:
                    os.killpg(process.pid, signal.SIGKILL)
                    return
        raise AssertionError(f"no task {task}:\n{output}")

    def _command(self, book: str, *options: str) -> list[str]:
        inventory = self.directory / "inventory.json"
        inventory.write_text(json.dumps(self._inventory()))
        inventory.chmod(0o600)
        return [
            *("env", "ANSIBLE_NOCOLOR=1", f"HOME={self.directory}"),
            f"ANSIBLE_SSH_CONTROL_PATH_DIR={self._connections}",
            *(str(ANSIBLE), "-i", str(inventory), str(PLAYBOOKS / book), *options),
        ]

    def _inventory(self) -> object:
        hosts = {
            host.name: {
                "ansible_host": host.address,
                "ansible_user": self._logins.get(host.name, "root"),
                "ansible_ssh_private_key_file": str(host.key),
                "ansible_ssh_common_args": " ".join(host.ssh_options),
                "ansible_python_interpreter": "/usr/bin/python3",
            }
            for host in {*self.hosts, *self.monitoring}
        }
        groups = {"acekeeper": _group(self.hosts)}
        if self.monitoring:
            groups["monitoring"] = _group(self.monitoring)
        return {"all": {"hosts": hosts, "vars": self.variables, "children": groups}}


def _group(hosts: Iterable[Host]) -> dict[str, dict[str, None]]:
    return {"hosts": {host.name: None for host in hosts}}


def release(directory: Path, change: Callable[[Path], None]) -> Path:
    """A release of this checkout as it is after the change."""
    for name in run("git", "-C", str(ROOT), "ls-files").stdout.splitlines():
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    change(directory)
    (directory / "dist").mkdir()
    (directory / "dist/wheels").symlink_to(ROOT / "dist/wheels")
    # So that it finds the version there.
    python = ("env", f"PYTHONPATH={directory / 'src'}", sys.executable)
    run(*python, str(directory / "ansible/release.py"), timeout_s=300)
    return directory / "dist/release"


def before_the_gateway(directory: Path) -> None:
    """acekeeper differs, and has no unit for the gateway."""
    append(directory / "src/acekeeper/app.py", "# another\n")
    socket = directory / "systemd/acekeeper-gateway.socket"
    socket.unlink()
    service = directory / "systemd/acekeeper.service"
    service.write_text(service.read_text().replace(f" {socket.name}", ""))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def deploy(host: Host, directory: Path, settings: Variables, key: str = "") -> Deployer:
    """This checkout on a bare host, with the engine image for tests."""
    variables = {
        **from_archive(image.build(directory)),
        "acekeeper_settings": settings,
        "acekeeper_api_key": key,
    }
    deployer = Deployer(directory, [host], variables)
    deployer.deploy()
    return deployer


def from_archive(built: Image) -> Variables:
    return {
        "acekeeper_image": built.id,
        "acekeeper_image_archive": str(built.archive),
        "acekeeper_engine_variant": "emulator",
    }


def acexy_from_archive(built: Image) -> Variables:
    return {
        "acekeeper_acexy": True,
        "acekeeper_acexy_image": built.id,
        "acekeeper_acexy_image_archive": str(built.archive),
    }


def build(host: Host) -> str:
    """The one that runs: its environment's Python is named in the arguments."""
    pid = show(host, "acekeeper.service", "MainPID")
    return host.ssh(f"tr '\\0' '\\n' < /proc/{pid}/cmdline | head -1").stdout.split("/")[3]


def as_user(host: Host, command: str, *, check: bool = True) -> str:
    environment = f"XDG_RUNTIME_DIR=/run/user/$(id -u {USER})"
    return host.ssh(
        f"cd / && sudo -u {USER} {environment} {command}", timeout_s=60, check=check
    ).stdout


def show(host: Host, unit: str, name: str) -> str:
    return as_user(host, f"systemctl --user show --value --property={name} '{unit}'").strip()


def engines(host: Host) -> dict[str, str]:
    """The engines that run, by unit, with what is a new one at every start."""
    return starts(host)


def starts(host: Host, *units: str) -> dict[str, str]:
    """The engines that run and these units, with what is a new one at every start."""
    names = " ".join(["'engine@*'", *units])
    said = as_user(host, f"systemctl --user show --property=Id,ActiveState,InvocationID {names}")
    blocks = (dict(re.findall("(.+)=(.*)", block)) for block in said.split("\n\n"))
    return {b["Id"]: b["InvocationID"] for b in blocks if b.get("ActiveState") == "active"}


def engine_pid(host: Host, unit: str, program: str) -> int:
    """Of the process in the unit's cgroup whose command line begins so."""
    cgroup = show(host, unit, "ControlGroup")
    look = f"cat $(find /sys/fs/cgroup{cgroup} -name cgroup.procs) | xargs ps -o pid=,args= -p"
    lines = (line.split(None, 1) for line in host.ssh(look).stdout.splitlines())
    [pid] = [int(pid) for pid, arguments in lines if arguments.startswith(program)]
    return pid


# Reads what to look for, then looks at all arguments until told to end.
WATCH = """
cat > /run/watched.py <<'END'
import glob, os, pathlib, sys
wanted = sys.stdin.readline().strip().encode()
if os.fork():
    sys.exit()
os.setsid()
for descriptor in range(3):
    os.close(descriptor)
pathlib.Path("/run/watched.pid").write_text(str(os.getpid()))
seen = pathlib.Path("/run/watched")
seen.write_bytes(b"")
while not os.path.exists("/run/watched.end"):
    for name in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            line = pathlib.Path(name).read_bytes()
        except OSError:
            continue
        if wanted in line:
            seen.write_bytes(line)
END
rm -f /run/watched.end
python3 /run/watched.py
"""


@contextmanager
def watched(host: Host, word: str) -> Iterator[list[str]]:
    """What had the word among its arguments meanwhile; known at the end."""
    seen: list[str] = []
    host.ssh(WATCH, stdin=word)
    yield seen
    end = "touch /run/watched.end; tail --pid=$(cat /run/watched.pid) -f /dev/null"
    seen += host.ssh(f"{end}; cat /run/watched").stdout.splitlines()


NOT_COMPARED = (
    *("/dev", "/proc", "/run", "/sys", "/tmp", "/var/tmp", "/var/cache", "/var/log"),
    *("/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd/timers"),
    *("/root/.ansible", "/home/admin"),  # whom Ansible logs in as
    "/var/backups",  # of dpkg, at midnight
)


def found(host: Host) -> dict[str, set[str]]:
    """What is on a host, to compare with later."""
    pruned = " -o ".join(f"-path {path}" for path in NOT_COMPARED)
    # The shadow tools keep a copy of what they change beside it.
    files = (
        f"find / -xdev \\( {pruned} \\) -prune -o ! -path '/etc/*-' -printf '%p %y %m %u:%g'"
        " \\( -type f -path '/etc/*' -printf ' %s\\n' -o -printf '\\n' \\)"
    )
    commands = {
        "packages": "dpkg-query -W -f '${Package} ${db:Status-Status}\\n'",
        "accounts": "getent passwd; getent group; cat /etc/subuid /etc/subgid 2>/dev/null || true",
        "lingering": "ls /var/lib/systemd/linger 2>/dev/null || true",
        "files": files,
    }
    return {name: set(host.ssh(command).stdout.splitlines()) for name, command in commands.items()}


def differences(before: Mapping[str, set[str]], after: Mapping[str, set[str]]) -> Iterator[str]:
    for name, lines in before.items():
        yield from sorted(f"gone from {name}: {line}" for line in lines - after[name])
        yield from sorted(f"new in {name}: {line}" for line in after[name] - lines)

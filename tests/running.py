"""The `acekeeper` command in processes of its own, as a user or systemd runs it."""

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .ports import engine_ports, free_port

LIMIT_S = 30.0
COMMAND = str(Path(sys.executable).with_name("acekeeper"))
EMULATOR = "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 0"


def settings(tmp_path: Path, **given: str) -> dict[str, str]:
    """A whole environment: nothing of the tester's own settings gets in."""
    return {
        "PATH": os.environ["PATH"],
        "STATE_DIR": str(tmp_path / "state"),
        "APP_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "MIN_REPLICAS": "0",
        "MIN_PROVISION_INTERVAL_S": "0",
        "MAX_REPLICAS": "3",
        "ENGINE_COMMAND": EMULATOR,
        **engine_ports(3),
        **given,
    }


# As systemd does it: the sockets are descriptors from 3 on, and the pid says who is meant.
HAND_OVER = """
import os, sys
names, numbers = sys.argv[1].split(":"), [os.dup(int(n)) for n in sys.argv[2].split(":")]
for place, number in enumerate(numbers, 3):
    os.dup2(number, place)
    os.set_inheritable(place, True)
told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(numbers))}
told["LISTEN_FDNAMES"] = sys.argv[1]
os.execve(sys.argv[3], sys.argv[3:], os.environ | told)
"""


class Ended(NamedTuple):
    status: int
    stdout: str
    stderr: str


def run(environ: dict[str, str], *words: str) -> Ended:
    """A command that ends by itself."""
    ended = subprocess.run(
        [COMMAND, *words], env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


class Service:
    """`acekeeper serve`, until `end`. It is handed the sockets that are given, the API's and the
    gateway's."""

    def __init__(
        self,
        environ: dict[str, str],
        tmp_path: Path,
        listening: socket.socket | None = None,
        players: socket.socket | None = None,
    ) -> None:
        self.environ = environ
        self.log_file = tmp_path / f"log-{time.monotonic_ns()}"
        command = [COMMAND, "serve"]
        given = {"api": listening, "gateway": players}
        handed = {name: s.fileno() for name, s in given.items() if s is not None}
        if handed:
            numbers = ":".join(map(str, handed.values()))
            hand_over = [sys.executable, "-ISc", HAND_OVER, ":".join(handed), numbers]
            command = [*hand_over, *command]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=tuple(handed.values()),
                start_new_session=True,
            )

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.environ["APP_PORT"])

    def log(self) -> list[dict[str, Any]]:
        """Every line must be a JSON object."""
        return [json.loads(line) for line in self.log_file.read_text().split("\n")[:-1]]

    def wait_for(self, event: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def logged() -> bool:
            assert self.process.poll() is None, self.log_file.read_text()
            text = self.log_file.read_text()
            whole = text[: text.rfind("\n") + 1].split("\n")[:-1]
            found[:] = [fields for fields in map(json.loads, whole) if fields["event"] == event]
            return bool(found)

        until(logged)
        return found[0]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int) -> Ended:
        self.signal(number)
        stdout, _ = self.process.communicate(timeout=LIMIT_S)
        return Ended(self.process.returncode, stdout.decode(), self.log_file.read_text())

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        select.select([], [], [], 0.02)

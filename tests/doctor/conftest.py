"""A host of stand-ins: the tools the doctor asks, as small scripts on a PATH of their own."""

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from acekeeper import __version__
from acekeeper.adapters import way_out
from acekeeper.core.way_out import Route, WayOut
from acekeeper.doctor import Finding, examine
from acekeeper.drop_ins import write
from acekeeper.settings import load

from ..ports import engine_ports, free_port

IMAGE = "ab" * 32
HEALTHY = {
    "loginctl": "echo yes",
    "getsubids": "echo 0: acekeeper 100000 65536",
    "podman": """
case "$1 $2" in
    "--version ") echo podman version 5.4.2;;
    "create --pull=never") echo 0123abcd;;
esac""",
    "podman-system-generator": "echo ---engine@.service---",
    "systemctl": """
case "$*" in
    *Version*) echo 257;;
    *LoadState*) printf 'LoadState=loaded\\nActiveState=active\\nNeedDaemonReload=no\\n';;
    *is-active*) echo active;;
esac""",
}


class World:
    """A host where all is well, until a test changes something."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state_dir = root / "state"
        self.runtime_dir = root / "run"
        self.units = root / "config/systemd/user"
        self.environ = {
            "RUNTIME": "quadlet",
            "TARGET_IMAGE": IMAGE,
            "STATE_DIR": str(self.state_dir),
            "MAX_REPLICAS": "2",
        }
        route = Route("192.0.2.1", "eth0", "192.0.2.5")
        self.way = WayOut(route, ("192.0.2.53",))

    def tool(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def fails(self, name: str, complaint: str, *, status: int = 1) -> None:
        self.tool(name, f"echo '{complaint}' >&2; exit {status}")

    def found(self) -> list[Finding]:
        return list(examine(self.environ))

    def wrong(self) -> list[str]:
        return [f"{f.text}. {f.advice}" for f in self.found() if not f.is_well]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: "Answering") -> Iterator[World]:
    world = World(tmp_path)
    for directory in (world.state_dir, tmp_path / "bin", world.runtime_dir / "podman"):
        directory.mkdir(parents=True)
    for name, script in HEALTHY.items():
        world.tool(name, script)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(world.runtime_dir))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    # Not every machine that runs the tests has one.
    monkeypatch.setattr("acekeeper.doctor.network._TUN", "/dev/null")
    monkeypatch.setattr(way_out, "look", lambda: world.way)
    world.environ |= engine_ports(2)
    world.environ |= {"APP_PORT": str(api.port), "GATEWAY_PORT": str(free_port())}
    write(world.units, load(world.environ))
    with Answering(socket.AF_UNIX, str(world.runtime_dir / "podman/podman.sock"), b"OK"):
        yield world


@pytest.fixture
def api() -> Iterator["Answering"]:
    with Answering(socket.AF_INET, ("127.0.0.1", 0), ready(__version__)) as api:
        yield api


def ready(
    version: str, *, degraded: str = "[]", is_ready: str = "true", listening: str = "[]"
) -> bytes:
    """And the status, since it is the answer to all that is asked."""
    return (
        f'{{"version": "{version}", "ready": {is_ready}, "degraded": {degraded},'
        f' "circuit_state": "open", "gateway": {{"listening": {listening}}}}}'
    ).encode()


class Answering:
    """Answers every HTTP request with the same status and body, but what it is asked of its log and
    its engines."""

    def __init__(
        self, family: socket.AddressFamily, address: str | tuple[str, int], body: bytes
    ) -> None:
        self.body = body
        self.status = "200 OK"
        self.ours = "X-RateLimit-Provisioning-Limit: 5\r\n"
        self.log = b"[]"
        self.engines = b"[]"
        self.asked = self.asked_of_log = b""
        self._listening = socket.socket(family)
        self._listening.bind(address)
        self._listening.listen()
        name = self._listening.getsockname()
        self.port = name[1] if isinstance(name, tuple) else 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Answering":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._thread.is_alive():
            return
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                asked = self.asked = connection.recv(65536)
                body = self.body
                if asked.startswith(b"GET /log?"):
                    self.asked_of_log, body = asked.split()[1], self.log
                elif asked.startswith(b"GET /engines?"):
                    body = self.engines
                head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n{self.ours}\r\n"
                connection.sendall(head.encode() + body)

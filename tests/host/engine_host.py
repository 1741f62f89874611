"""A host acekeeper was deployed to, and stopped: its quadlet runtime is driven by hand there."""

from pathlib import Path
from typing import Any, Self

from . import deploying
from .deploying import as_user
from .lab import Host
from .told import Told, over_ssh

DRIVER = Path(__file__).with_name("drive_quadlet.py")
PYTHON = "/opt/acekeeper/current/bin/python"
HOME = "/var/lib/acekeeper"
ENVIRONMENT_FILES = f"{HOME}/.local/state/acekeeper/engines"
LIMIT_S = 120.0
# In the engine's own network, so the playing host cannot reach it.
ADMIN_PORT = 6999


class EngineHost:
    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        deployer = deploying.deploy(host, directory, {"MIN_REPLICAS": 0})
        self.image = str(deployer.variables["acekeeper_image"])
        self.uid = host.ssh("id -u acekeeper").stdout.strip()
        as_user(host, "systemctl --user stop acekeeper.socket acekeeper.service")
        host.copy(DRIVER, "/opt")
        # Engines that answer at once, and can be told to crash.
        drop_in = f"/etc/containers/systemd/users/{self.uid}/engine@.container.d/variant.conf"
        host.ssh(f"sed -i '/^Exec=/s/$/ --start-delay 0 --admin-port {ADMIN_PORT}/' {drop_in}")
        as_user(host, "systemctl --user daemon-reload")

    def as_user(self, command: str, *, check: bool = True) -> str:
        return as_user(self.host, f"timeout 60 {command}", check=check)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        wanted = ",".join(names)
        lines = self.as_user(f"systemctl --user show {unit} -p {wanted}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def pid(self, unit: str, program: str) -> int:
        return deploying.engine_pid(self.host, unit, program)

    def files(self) -> list[str]:
        return self.host.ssh(f"ls {ENVIRONMENT_FILES}").stdout.split()

    def drive(self, image_id: str = "") -> "Driver":
        environment = f"XDG_RUNTIME_DIR=/run/user/{self.uid} HOME={HOME}"
        command = f"{PYTHON} /opt/{DRIVER.name} {image_id or self.image}"
        return Driver(self.host, f"cd / && sudo -u acekeeper {environment} {command}")


class Driver(Told):
    """The runtime in a process of the unprivileged user on the host, told over SSH what to do."""

    def __init__(self, host: Host, command: str) -> None:
        super().__init__(over_ssh(host, command), LIMIT_S)
        self.told: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.hear("RuntimeConnected")
        return self

    def do(self, *words: object) -> dict[str, Any]:
        """Its answer: what the runtime returned or raised."""
        self.send(*words)
        while (said := self.next())["kind"] != "answer":
            self.told.append(said)
        return said

    def hear(self, fact: str) -> dict[str, Any]:
        """The next fact that was told, which must be of this kind."""
        said = self.told.pop(0) if self.told else self.next()
        assert said["fact"] == fact, said
        return said

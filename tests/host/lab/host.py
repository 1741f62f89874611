import socket
import time
from collections.abc import Callable
from pathlib import Path

from . import base, machine
from .command import Result, run
from .container import Container
from .errors import CommandError, LabError
from .network import Network

BOOT_LIMIT_S = 180
POLL_S = 0.05  # nothing outside signals that a guest answers


class Host:
    """One bare host; over SSH, as root, it is used like any other."""

    def __init__(self, number: int, network: Network, state: Path, key: Path) -> None:
        self.name = f"{network.name}-{number}"
        self.address = network.address(number)
        self.key = key
        self._network = network
        self._container = Container(self.name, network, state)

    @property
    def ssh_options(self) -> list[str]:
        options = {
            "IdentityFile": str(self.key),
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "BatchMode": "yes",
            "ConnectTimeout": "30",
            "ServerAliveInterval": "5",
        }
        return ["-F", "/dev/null", *(f"-o{name}={value}" for name, value in options.items())]

    def ssh(
        self, command: str, *, stdin: str = "", timeout_s: float = 60, check: bool = True
    ) -> Result:
        return run(
            *("ssh", *self.ssh_options, f"root@{self.address}", command),
            title=f"{self.name}: {command}",
            stdin=stdin,
            timeout_s=timeout_s,
            check=check,
        )

    def copy(self, local: Path, remote: str) -> None:
        """A file, or a directory with all it holds."""
        run(
            *("scp", "-q", "-r", *self.ssh_options, str(local), f"root@{self.address}:{remote}"),
            title=f"{self.name}: copy {local}",
            timeout_s=300,
        )

    def boot_id(self) -> str:
        return self.ssh("cat /proc/sys/kernel/random/boot_id", timeout_s=30).stdout.strip()

    def is_up(self) -> bool:
        return self._container.is_running()

    def up(self) -> None:
        if self.is_up():
            return
        self.down()  # what a killed run left
        self._container.unpack(base.tarball())
        self._configure()
        self.plug_in()

    def unplug(self) -> None:
        """What is on its disk stays."""
        self._container.stop()

    def plug_in(self) -> None:
        self._container.start()
        self._wait_running()

    def reboot(self) -> None:
        before = self.boot_id()
        self.ssh("systemctl reboot", check=False)  # the connection may go before the answer
        self._wait("a new boot", lambda: self._answers() and self._rebooted(before))
        self._wait_running()

    def down(self) -> None:
        self._container.remove()

    def _configure(self) -> None:
        write = self._container.write
        write("etc/hostname", f"{self.name}\n")
        write("etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {self.name}\n")
        write("etc/machine-id", "")
        write("etc/resolv.conf", machine.resolv_conf())
        write(
            "etc/systemd/network/10-host0.network",
            "[Match]\nName=host0\n\n[Network]\nLinkLocalAddressing=no\n"
            f"Address={self.address}/24\nGateway={self._network.gateway}\n",
        )
        write("root/.ssh/authorized_keys", self.key.with_suffix(".pub").read_text(), mode=0o600)

    def _wait_running(self) -> None:
        self._wait("SSH", self._answers)
        wait = "systemctl is-system-running --wait"
        asked = self.ssh(wait, timeout_s=BOOT_LIMIT_S, check=False)
        if (state := asked.stdout.strip()) != "running":
            failed = self.ssh("systemctl --failed --no-legend --plain", check=False).stdout
            raise LabError(
                f"{self.name} is {state or asked.stderr}, not running\n{failed}".rstrip()
            )

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _rebooted(self, before: str) -> bool:
        try:
            return self.boot_id() != before
        except CommandError:
            return False

    def _wait(self, event: str, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOOT_LIMIT_S
        while not happened():
            if not self.is_up() or time.monotonic() > deadline:
                console = self._container.console()
                raise LabError(f"{self.name}: no {event}; its console says\n{console}".rstrip())
            time.sleep(POLL_S)

"""The tunnel: WireGuard by wireguard-go, and what is known through it."""

import http.client
import json
import subprocess
import tempfile
import threading
import time
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from . import firewall
from .links import MARK, TUNNEL, ip, route_all

SECRET = Path("/run/secrets/wg0.conf")
SOCKET = Path(f"/var/run/wireguard/{TUNNEL}.sock")
WORLD = "203.0.113.1"  # says who asks it
EVERY_S = 1.0
LIMIT_S = 3.0
DOUBTS_AFTER_S = 60.0


@dataclass(frozen=True)
class Config:
    address: IPv4Interface
    endpoint: tuple[str, int]
    for_wg: str

    @classmethod
    def read(cls) -> "Config":
        said = ConfigParser()
        said.optionxform = str  # type: ignore[assignment,method-assign]
        said.read_string(SECRET.read_text())
        address = IPv4Interface(said["Interface"].pop("Address"))
        host, _, port = said["Peer"]["Endpoint"].partition(":")
        said["Interface"].pop("DNS", None)
        lines = (f"[{name}]\n{_lines(said[name])}" for name in said.sections())
        return cls(address, (host, int(port)), "".join(lines))

    @property
    def provider(self) -> str:
        """Its end of the tunnel."""
        return str(self.address.network.network_address + 1)


class Tunnel:
    def __init__(self, config: Config, *, asks_port: bool) -> None:
        self.wanted = threading.Event()
        self.wanted.set()
        self.public_ip = ""
        self.port = 0
        self._config = config
        self._asks_port = asks_port
        self._process: subprocess.Popen[bytes] | None = None
        self._was_good = 0.0

    @property
    def is_healthy(self) -> bool:
        return self.public_ip != ""

    def run(self) -> None:
        while True:
            if not self.wanted.is_set():
                self._down()
                self.wanted.wait()
            if self._process is None:
                self._up()
            self._look()
            time.sleep(EVERY_S)

    def _up(self) -> None:
        SOCKET.unlink(missing_ok=True)  # that of one that was killed is in the way of the next
        self._process = subprocess.Popen(("wireguard-go", "--foreground", TUNNEL))
        while not SOCKET.exists():
            time.sleep(0.01)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(self._config.for_wg)
            file.flush()
            subprocess.run(("wg", "setconf", TUNNEL, file.name), check=True)
        subprocess.run(("wg", "set", TUNNEL, "fwmark", str(MARK)), check=True)
        ip("address", "add", str(self._config.address), "dev", TUNNEL)
        ip("link", "set", TUNNEL, "up", "mtu", "1320")
        route_all(add=True)
        self._was_good = time.monotonic()

    def _down(self) -> None:
        if self._process is not None:
            route_all(add=False)
            self._process.terminate()
            self._process.wait()
            self._process = None
        self._have("", 0)

    def _look(self) -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):
            public_ip = str(_get(WORLD, "/")["ip"])
            port = int(_get(self._config.provider, "/port")["port"]) if self._asks_port else 0
            self._have(public_ip, port)
            self._was_good = time.monotonic()
        if time.monotonic() > self._was_good + DOUBTS_AFTER_S:
            self._down()

    def _have(self, public_ip: str, port: int) -> None:
        self.public_ip = public_ip
        if port == self.port:
            return
        if self.port:
            firewall.forward(self.port, opened=False)
        if port:
            firewall.forward(port, opened=True)
        self.port = port


def _get(host: str, path: str) -> Any:
    connection = http.client.HTTPConnection(host, timeout=LIMIT_S)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read(4096))
    finally:
        connection.close()


def _lines(section: Any) -> str:
    return "".join(f"{name} = {value}\n" for name, value in section.items())

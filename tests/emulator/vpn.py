"""An emulated VPN in a process of its own, and the ways in which tests talk to it."""

import json

from ..ports import free_port
from .running import Reply, Running, call

KEY = "a-key-of-its-own"


class Vpn(Running):
    """Its tunnel is there at once, unless told otherwise."""

    def __init__(self, *options: str, key: str = "") -> None:
        self.control, self.health = free_port(), free_port()
        own = ["--control-port", str(self.control), "--health-port", str(self.health)]
        super().__init__("vpn", *own, "--start-delay", "0", *options, VPN_API_KEY=key)

    def ready(self) -> "Vpn":
        self.wait_for_line("http server listening")
        return self

    def get(self, path: str, key: str = "") -> Reply:
        """Of the control server."""
        return call(self.control, "GET", path, **({"X-API-Key": key} if key else {}))

    def is_healthy(self) -> bool:
        return call(self.health, "GET", "/").status == 200

    def admin(self, method: str, path: str, body: object = None) -> Reply:
        return call(self.health, method, path, None if body is None else json.dumps(body))

    def fault(self, kind: str, **fields: object) -> None:
        assert self.admin("POST", "/faults", {"kind": kind, **fields}).status == 200

    def clear(self) -> None:
        assert self.admin("DELETE", "/faults").status == 200

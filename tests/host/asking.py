"""What acekeeper answers on the host that it was deployed to."""

import json
from dataclasses import dataclass
from typing import Any

from .lab import Host

KEY = "the-key-of-the-host-tests"


@dataclass(frozen=True)
class Asked:
    host: Host

    def get(self, path: str) -> Any:
        key = f"-H 'Authorization: Bearer {KEY}'"
        return json.loads(self.host.ssh(f"curl -sf {key} 'http://127.0.0.1:8000{path}'").stdout)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/orchestrator/status")
        return found

    def degraded(self) -> list[str]:
        found: list[str] = self.get("/health/ready")["degraded"]
        return found

    def listed(self) -> list[int]:
        """The ports of the engines that are."""
        return [engine["port"] for engine in self.get("/engines")]

    def log(self, kind: str) -> list[dict[str, Any]]:
        """The newest first."""
        found: list[dict[str, Any]] = self.get(f"/log?kind={kind}")
        return found

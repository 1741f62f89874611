"""The client of the contract tests on a deployed host, told over SSH what to do."""

from pathlib import Path
from typing import Any, Self

from .lab import Host
from .over_ssh import OverSsh

TESTS = Path(__file__).parents[1]
DRIVER = Path(__file__).with_name("drive_viewers.py")
PYTHON = "/opt/acekeeper/current/bin/python"
LIMIT_S = 300.0


class Viewing(OverSsh):
    def __init__(self, host: Host, key: str) -> None:
        host.ssh("rm -rf /opt/viewing; mkdir -p /opt/viewing/tests")
        host.copy(TESTS / "contract", "/opt/viewing/tests")
        host.copy(DRIVER, "/opt/viewing")
        program = f"PYTHONPATH=/opt/viewing {PYTHON} /opt/viewing/{DRIVER.name}"
        super().__init__(host, f"{program} http://127.0.0.1:8000 {key}", LIMIT_S)

    def __enter__(self) -> Self:
        assert self.next() == {"ready": True}
        return self

    def do(self, *words: object) -> Any:
        self.send(*words)
        said = self.next()
        assert "error" not in said, said["error"]
        return said["answer"]

    def free(self) -> int:
        """The engines that are."""
        count: int = self.do("get", "/orchestrator/status")["capacity"]["available"]
        return count

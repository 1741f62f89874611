"""The clients of the contract tests on a deployed host, told over SSH what to do."""

from pathlib import Path
from typing import Any, Self

from .lab import Host
from .over_ssh import OverSsh

TESTS = Path(__file__).parents[1]
PYTHON = "/opt/acekeeper/current/bin/python"
LIMIT_S = 300.0


class Driven(OverSsh):
    """A program on a host that has these clients, and says when it is ready."""

    def __init__(self, host: Host, driver: str, *arguments: str) -> None:
        place = f"/opt/{driver}"
        host.ssh(f"rm -rf {place}; mkdir -p {place}/tests")
        host.copy(TESTS / "contract", f"{place}/tests")
        host.copy(Path(__file__).with_name(f"{driver}.py"), place)
        program = f"PYTHONPATH={place} {PYTHON} {place}/{driver}.py"
        super().__init__(host, " ".join((program, *arguments)), LIMIT_S)

    def __enter__(self) -> Self:
        assert self.next() == {"ready": True}
        return self

    def do(self, *words: object) -> Any:
        self.send(*words)
        said = self.next()
        assert "error" not in said, said["error"]
        return said["answer"]


class Viewing(Driven):
    """Viewers, whose client asks the API."""

    def __init__(self, host: Host, key: str) -> None:
        super().__init__(host, "drive_viewers", "http://127.0.0.1:8000", key)

    def free(self) -> int:
        """The engines that are."""
        count: int = self.do("get", "/orchestrator/status")["capacity"]["available"]
        return count


class Playing(Driven):
    """Players of the gateway."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, "drive_players", "http://127.0.0.1:6878")

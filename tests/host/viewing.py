"""The clients of the contract tests, told what to do: on a deployed host, or beyond it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from .lab import Host
from .told import Told, over_ssh

HERE = Path(__file__).parent
TESTS = HERE.parent
PYTHON = "/opt/acekeeper/current/bin/python"
LIMIT_S = 300.0


class Driven(Told):
    """A driver with these clients, which says when it is ready."""

    def __init__(self, program: Sequence[str]) -> None:
        super().__init__(program, LIMIT_S)

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
        super().__init__(on_host(host, "drive_viewers", "http://127.0.0.1:8000", key))

    def free(self) -> int:
        """The engines that are."""
        count: int = self.do("get", "/orchestrator/status")["capacity"]["available"]
        return count


class Playing(Driven):
    """Players of the gateway."""

    def __init__(self, host: Host) -> None:
        super().__init__(on_host(host, "drive_players", "http://127.0.0.1:6878"))


class PlayingFromHere(Driven):
    """Players of a host's gateway on this machine, which is another one on the network."""

    def __init__(self, host: Host) -> None:
        driver = str(HERE / "drive_players.py")
        here = ("env", f"PYTHONPATH={TESTS.parent}", sys.executable, driver)
        super().__init__((*here, f"http://{host.address}:6878"))


def on_host(host: Host, driver: str, *arguments: str) -> Sequence[str]:
    place = f"/opt/{driver}"
    host.ssh(f"rm -rf {place}; mkdir -p {place}/tests")
    host.copy(TESTS / "contract", f"{place}/tests")
    host.copy(HERE / f"{driver}.py", place)
    program = f"PYTHONPATH={place} {PYTHON} {place}/{driver}.py"
    return over_ssh(host, " ".join((program, *arguments)))

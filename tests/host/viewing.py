"""The client of the contract tests on a deployed host, told over SSH what to do."""

import json
import select
import shlex
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .lab import Host

TESTS = Path(__file__).parents[1]
DRIVER = Path(__file__).with_name("drive_viewers.py")
PYTHON = "/opt/acekeeper/current/bin/python"
LIMIT_S = 300.0


class Viewing:
    def __init__(self, host: Host, key: str) -> None:
        self._host = host
        host.ssh("rm -rf /opt/viewing; mkdir -p /opt/viewing/tests")
        host.copy(TESTS / "contract", "/opt/viewing/tests")
        host.copy(DRIVER, "/opt/viewing")
        self._command = (
            f"PYTHONPATH=/opt/viewing {PYTHON} /opt/viewing/{DRIVER.name}"
            f" http://127.0.0.1:8000 {key}"
        )

    def __enter__(self) -> Self:
        target = f"root@{self._host.address}"
        self._process = subprocess.Popen(
            ["ssh", *self._host.ssh_options, target, self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._hear() == {"ready": True}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def do(self, *words: object) -> Any:
        self.ask(*words)
        return self.answer()

    def ask(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(shlex.join(map(str, words)) + "\n")

    def answer(self) -> Any:
        said = self._hear()
        assert "error" not in said, said["error"]
        return said["answer"]

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], LIMIT_S)[0], "the driver says nothing"
        line = self._process.stdout.readline()
        assert line, "the driver is gone"
        said: dict[str, Any] = json.loads(line)
        return said

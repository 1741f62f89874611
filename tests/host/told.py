"""A program that takes commands as lines and answers in lines of JSON."""

import json
import select
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any, Self

from .lab import Host


class Told:
    """`limit_s`: how long it may be silent while a line is waited for."""

    def __init__(self, program: Sequence[str], limit_s: float) -> None:
        self._limit_s = limit_s
        self._heard = b""  # and not yet returned
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def send(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{shlex.join(map(str, words))}\n".encode())

    def next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self._process.stdout], [], [], self._limit_s)
            assert ready, "the program says nothing"
            heard = self._process.stdout.read(65536)  # of a pipe without a buffer: what is there
            assert heard, "the program is gone"
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said


def over_ssh(host: Host, command: str) -> Sequence[str]:
    """The program which that is on a host."""
    return ("ssh", *host.ssh_options, f"root@{host.address}", command)

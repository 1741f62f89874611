"""A network of its own on this machine, for what hosts are to find beyond theirs."""

import ctypes
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from .command import run

NAMED = Path("/run/netns")
CLONE_NEWNET = 0x40000000

Made = TypeVar("Made")


class Namespace:
    def __init__(self, name: str) -> None:
        self.name = name

    def up(self) -> None:
        self.down()
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def down(self) -> None:
        """With the processes in it."""
        if not (NAMED / self.name).exists():
            return
        for pid in run("ip", "netns", "pids", self.name).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run("ip", "netns", "delete", self.name)

    def run(self, *command: str, stdin: str = "") -> str:
        return run(*self.within(*command), stdin=stdin).stdout

    def within(self, *command: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name, *command)

    def make(self, make: Callable[[], Made]) -> Made:
        """What it makes, a socket, is in here wherever it is used."""
        with ThreadPoolExecutor(1, initializer=self._enter) as thread:
            return thread.submit(make).result()

    def _enter(self) -> None:
        with (NAMED / self.name).open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {namespace.name}")


def remove_all(prefix: str) -> None:
    if NAMED.exists():
        for path in NAMED.glob(f"{prefix}*"):
            Namespace(path.name).down()

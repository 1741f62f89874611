"""Runs on a host, as the user whose engines they are: drive_quadlet.py IMAGE

Does what each line of its input says, and prints as JSON lines what the runtime answers and tells.
"""

import asyncio
import json
import shlex
import socket
import sys
import time
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from acekeeper.adapters.podman import Podman
from acekeeper.adapters.quadlet import Quadlet
from acekeeper.adapters.retries import Retries
from acekeeper.adapters.systemd import Systemd
from acekeeper.core.facts import Fact, WayOutSeen
from acekeeper.core.model import Now
from acekeeper.core.names import PortPlan, Slot
from acekeeper.errors import AcekeeperError

HOST = "127.0.0.1"
PORTS = PortPlan(19000, 19999, 20000, 21000, 22000)


class Contested(Systemd):
    """One beside which somebody takes a port in the last moment, and keeps it."""

    port: int | None = None
    holder: socket.socket | None = None

    async def start(self, unit: str) -> str:
        if self.port is not None:
            self.holder = socket.create_server((HOST, self.port))
        return await super().start(unit)


def say(kind: str, **what: Any) -> None:
    said = {"kind": kind, "at": time.monotonic(), **what}
    print(json.dumps(said, default=list), flush=True)  # noqa: T201 (a set is told as a list)


def tell(fact: Fact) -> None:
    """Not how the host gets out, which is of no start."""
    if not isinstance(fact, WayOutSeen):
        say("fact", fact=type(fact).__name__, **to_builtins(fact))


async def main() -> None:
    retries = Retries(3, 2.0, lambda _source, _failure: None)
    systemd, podman = Contested(retries), Podman(retries)
    state_dir = Path.home() / ".local/state/acekeeper"
    runtime = Quadlet((HOST,), sys.argv[1], state_dir, clock, systemd, podman, 120.0)
    await runtime.open(tell)

    async def do(word: str, *rest: str) -> Any:
        match word, rest:
            case "list", ():
                return to_builtins(await runtime.list())
            case "start", (port,):
                slot = Slot(HOST, int(port))
                return to_builtins(await runtime.start(slot, PORTS.ports(slot.port)))
            case "start-beside", (port, taken):
                systemd.port = int(taken)
                try:
                    return await do("start", port)
                finally:
                    systemd.port = None
                    if systemd.holder is not None:
                        systemd.holder.close()
            case "stop", (port, incarnation):
                return await runtime.stop(Slot(HOST, int(port)), incarnation)
            case "bare-start", (port,):
                return await systemd.start(Slot(HOST, int(port)).unit)
            case "bare-stop", (port,):
                return await systemd.stop(Slot(HOST, int(port)).unit)
            case "inspect", (container_id,):
                return await podman.inspect(container_id)
            case "logs", (container_id, tail):
                return await podman.logs(container_id, int(tail))
            case _:
                raise ValueError(word)

    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = time.monotonic()
        try:
            say("answer", answer=await do(*shlex.split(line)), asked=asked)
        except AcekeeperError as error:
            say("answer", error=type(error).__name__, says=str(error))
    await runtime.close()


def clock() -> Now:
    return Now(time.time(), time.monotonic())


asyncio.run(main())

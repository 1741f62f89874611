"""The quadlet runtime, with a systemd that does as a test tells it."""

import asyncio
import os
import time
from asyncio import Queue
from pathlib import Path

from acekeeper.adapters.podman import Podman
from acekeeper.adapters.quadlet import Quadlet
from acekeeper.adapters.retries import Retries
from acekeeper.adapters.systemd import Systemd
from acekeeper.adapters.template import Template
from acekeeper.adapters.vpn_units import VpnUnits
from acekeeper.adapters.way_out import look
from acekeeper.core.build import Build
from acekeeper.core.facts import (
    EngineStarted,
    Fact,
    RuntimeConnected,
    WayOutSeen,
)
from acekeeper.core.model import Now
from acekeeper.core.names import Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut

from ..ports import free_ports
from .policies import ONCE
from .private_bus import Daemon, FakeSystemd

HOST = "127.0.0.1"
WAY = look()  # of the machine the tests run on
LIMIT_S = 30.0
START_S = 5.0  # for starts that are to run out of it
IMAGE = "ab" * 32
ID = "cd" * 32
START = f"{1:032x}"  # of the first job


class Clock:
    """Real time, which a test may move on."""

    ahead = 0.0

    def __call__(self) -> Now:
        return Now(time.time() + self.ahead, time.monotonic() + self.ahead)


def pass_time(seconds: float) -> None:
    """The event loop's clock jumps: what had so long to wait is over. No machine is too slow for
    that, as it is for a limit that is short by the true clock."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    loop.time = lambda: clock() + seconds  # type: ignore[method-assign]


class World:
    def __init__(self, daemon: Daemon, systemd: FakeSystemd, directory: Path) -> None:
        self.daemon = daemon
        self.systemd = systemd
        self.state_dir = directory / "state"
        self.runtime_dir = directory
        self.clock = Clock()
        self.addresses: tuple[str, ...] = (HOST,)
        self.vpns: tuple[str, ...] = ()
        self.told: Queue[Fact] = Queue()
        self.ways_out: list[WayOut] = []
        self.opened: list[Quadlet] = []
        self.ports = free_ports()
        self.slot = Slot(HOST, self.ports.http)
        self.unit = self.slot.unit
        self.generated = directory / "systemd/generator/engine@.service"
        self.generated.parent.mkdir(parents=True)
        self.generated.write_text("[Service]\nExecStart=/bin/true\n")
        self.environment = self.state_dir / "engines" / f"{self.ports.http}.env"

    async def runtime(self, start_within: float = LIMIT_S, retries: Retries = ONCE) -> Quadlet:
        bus = Systemd(retries, self.daemon.address)
        runtime = Quadlet(
            self.addresses,
            f"sha256:{IMAGE}",
            self.state_dir,
            self.clock,
            bus,
            Podman(retries, self.runtime_dir / "podman.sock"),
            start_within,
            VpnUnits(self.vpns, bus, self.runtime_dir) if self.vpns else None,
        )
        self.opened.append(runtime)
        await runtime.open(self._hear)
        assert await self.hear() == RuntimeConnected()
        return runtime

    @property
    def build(self) -> Build:
        """Of a start that comes now."""
        return Template(IMAGE, self.runtime_dir).build()

    async def start(self, runtime: Quadlet, behind: Behind | None = None) -> EngineStarted:
        async with asyncio.timeout(LIMIT_S):
            return await runtime.start(self.slot, self.ports, behind)

    def _hear(self, fact: Fact) -> None:
        """How the host gets out has a list of its own: it may be told at any time."""
        if isinstance(fact, WayOutSeen):
            self.ways_out.append(fact.way)
        else:
            self.told.put_nowait(fact)

    async def hear(self) -> Fact:
        async with asyncio.timeout(LIMIT_S):
            return await self.told.get()

    def write_id(self) -> None:
        (self.runtime_dir / f"engine@{self.ports.http}.cid").write_text(ID)

    def die(self, **values: object) -> None:
        """Its main process ends, then the unit."""
        end = {"main_pid": 0, "result": "exit-code", "exit_code": os.CLD_EXITED}
        self.systemd.change(self.unit, active="deactivating", **(end | values))
        self.systemd.change(self.unit, active="failed")

    async def released(self) -> None:
        """Lists until the environment file is gone, which only a signal removes while the unit
        is there."""
        async with asyncio.timeout(LIMIT_S):
            while self.environment.exists():
                await self.opened[-1].list()

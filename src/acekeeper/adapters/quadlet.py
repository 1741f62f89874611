"""Engines as units of the user's systemd, which runs them as containers by a static quadlet.

No unit is ever generated here: what is an engine's own is in its environment file. A start is named
by systemd's invocation id. A unit that failed is shown as such for a while, then forgotten.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acekeeper.adapters import container_id, proc, way_out
from acekeeper.adapters.engine_logs import log_file, must_begin
from acekeeper.adapters.failed_units import FailedUnits
from acekeeper.adapters.leaving import Leaving
from acekeeper.adapters.needs import Needs
from acekeeper.adapters.podman import MEND, Image, Podman, inspection
from acekeeper.adapters.ports import present, test
from acekeeper.adapters.reservations import Reservations, Reserved
from acekeeper.adapters.start_job import STOP_WITHIN, StartJobs
from acekeeper.adapters.systemd import Systemd
from acekeeper.adapters.template import Template
from acekeeper.adapters.unit import GONE, Unit, Why, why
from acekeeper.adapters.user_bus import runtime_dir
from acekeeper.core.facts import (
    EngineDied,
    EngineIdentified,
    EnginesListed,
    EngineStarted,
    Fact,
    Found,
    RuntimeConnected,
    RuntimeLost,
    WayOutSeen,
)
from acekeeper.core.inspection import Inspection
from acekeeper.core.model import Now
from acekeeper.core.names import HERE, Ports, Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut
from acekeeper.errors import EngineFailed, PortTaken, RuntimeUnavailable

if TYPE_CHECKING:
    from acekeeper.adapters.vpn_units import VpnUnits

_UNITS = "engine@*.service"


@dataclass(slots=True, eq=False)
class _Engine:
    slot: Slot
    incarnation: str
    container_id: str
    reserved: Reserved
    ran: bool
    dying: bool = False  # systemd was asked to stop it, by us or by somebody else
    named: bool = False  # whoever asked knows of this start, and may hear of its end


class Quadlet:
    def __init__(
        self,
        addresses: tuple[str, ...],
        image: str,
        state_dir: Path,
        clock: Callable[[], Now],
        systemd: Systemd,
        podman: Podman,
        start_within: float,
        vpns: "VpnUnits | None" = None,
    ) -> None:
        """`addresses`: ENGINE_HOST; `start_within`: PROVISION_TIMEOUT_S; `vpns`: those that
        engines are behind, if they are to be behind any."""
        self._addresses = addresses
        self._state_dir = state_dir
        self._reservations = Reservations(state_dir / "engines")
        self._clock = clock
        self._systemd = systemd
        self._podman = podman
        self._runtime_dir = Path(runtime_dir())
        self._image = Image(image.removeprefix("sha256:"), podman, clock)
        self._template = Template(self._image.name, self._runtime_dir)
        self._needs = Needs(self._runtime_dir, self._template, self._image, systemd, podman)
        self._vpns = vpns
        self._jobs = StartJobs(systemd, state_dir, start_within)
        self._boot = proc.boot_id()
        self._engines: dict[Slot, _Engine] = {}
        self._starting: set[Slot] = set()
        self._leaving = Leaving()
        self._seen: dict[Slot, Unit] = {}
        self._failed = FailedUnits(systemd)
        self._way_watch: way_out.Watch | None = None
        self._losses = 0  # how often the bus went away, and with it all that was known

    async def open(self, tell: Callable[[Fact], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._reservations.open()
        if self._vpns is not None:
            self._vpns.open(tell)
        self._way_watch = way_out.Watch(lambda way: tell(WayOutSeen(way)))
        tell(WayOutSeen(way_out.look()))
        self._systemd.open(self)

    async def close(self) -> None:
        if self._way_watch is not None:
            self._way_watch.close()
            self._way_watch = None
        await self._systemd.close()
        self._podman.close()

    async def list(self) -> EnginesListed:
        """Anew if the bus went away and came back meanwhile: half a list would call the rest
        gone."""
        while True:
            losses = self._losses
            listing = await self._list()
            if losses == self._losses:
                return listing

    async def _list(self) -> EnginesListed:
        if self._vpns is not None:
            await self._vpns.look()
        asked = self._clock()
        known = list(self._engines.values())
        states = await self._systemd.states(_UNITS)
        units = {s: state for name, state in states.items() if (s := Slot.from_unit(name))}
        living = {slot: state for slot, state in units.items() if state not in GONE}
        await self._find(living)
        for engine in known:
            if engine.slot not in living and self._engines.get(engine.slot) is engine:
                del self._engines[engine.slot]
        self._reservations.keep({*living, *self._engines, *self._starting})
        failed = {slot for slot, state in units.items() if state == "failed"}
        await self._failed.reset(failed, self._starting, asked)
        for engine in self._engines.values():
            if engine.ran and not engine.container_id:  # no change of its unit may come any more
                engine.container_id = self._container_id(engine.slot)
        found = tuple(
            Found(e.slot, e.incarnation, e.container_id, e.dying, *e.reserved)
            for e in self._engines.values()
        )
        return EnginesListed(HERE, self._boot, asked, found, build=self._template.build())

    async def start(self, slot: Slot, ports: Ports, behind: Behind | None = None) -> EngineStarted:
        due = self._jobs.due()
        await self._leaving.wait(slot, min(due, self._loop.time() + STOP_WITHIN))
        if slot in self._engines or slot in self._starting:
            raise PortTaken(f"Port {slot.port} has an engine already")
        self._starting.add(slot)
        way = way_out.look() if behind is None else None
        reserved = Reserved(present(self._addresses), self._template.build(), way, behind)
        if behind is not None and behind.forwarded:
            ports = ports._replace(p2p=behind.forwarded)
        try:
            joined = await self._joined(behind)
            if not joined:  # else they are in the VPN's network, and it holds those of this host
                test(ports, reserved.addresses)
            must_begin(log_file(self._state_dir, slot))
            self._reservations.make(slot, ports, reserved, joined)
            unit = await self._run(slot, ports, reserved, due)
        finally:
            self._starting.discard(slot)
        found = self._container_id(slot)
        engine = self._name(_Engine(slot, unit.invocation, found, reserved, ran=True))
        return EngineStarted(slot, engine.incarnation, found, *reserved.told)

    async def stop(self, slot: Slot, incarnation: str) -> None:
        engine = self._engines.get(slot)
        known = engine.incarnation if engine else await self._systemd.invocation(slot.unit)
        if known != incarnation:
            return
        try:
            async with asyncio.timeout(STOP_WITHIN):
                result = await self._systemd.stop(slot.unit, incarnation)
        except TimeoutError:
            raise EngineFailed(f"systemd did not stop it within {STOP_WITHIN:g} s") from None
        if result != "done":
            raise EngineFailed(f"systemd did not stop it: its job was {result}")

    async def lacks(self) -> str:
        return await self._needs.lacks()

    async def unheard(self) -> str:
        return await self._needs.unheard()

    def way_out(self) -> WayOut | None:
        return way_out.look()

    async def inspect(self, slot: Slot, container_id: str) -> Inspection:
        return await inspection(self._podman, slot.unit, container_id)

    async def logs(self, slot: Slot, container_id: str, tail: int) -> str | None:
        if not container_id:
            raise RuntimeUnavailable(f"{slot.unit} has no container yet", self._jobs.logs(slot))
        return await self._podman.logs(container_id, tail)

    def connected(self) -> None:
        self._tell(RuntimeConnected())

    def lost(self, why: str) -> None:
        """What runs is found again by the next list."""
        self._losses += 1
        self._engines.clear()
        self._seen.clear()
        if self._vpns is not None:
            self._vpns.lost()
        self._leaving.clear()
        self._tell(RuntimeLost(f"The user's systemd: {why}"))

    def changed(self, unit: Unit) -> None:
        slot = Slot.from_unit(unit.name)
        if slot is None and self._vpns is not None:
            self._vpns.changed(unit)
        if slot is not None:
            self._seen[slot] = unit
            self._judge(slot, unit)

    def _judge(self, slot: Slot, unit: Unit) -> None:
        engine = self._engines.get(slot)
        if engine is not None:
            self._judge_engine(engine, unit)
        if unit.is_gone:
            # A unit that is busy is being restarted by somebody, and needs its file.
            if not unit.busy and slot not in self._engines and slot not in self._starting:
                self._release(slot)
        elif unit.active != "deactivating":
            self._leaving.remove(slot)

    def _judge_engine(self, engine: _Engine, unit: Unit) -> None:
        is_over = unit.invocation != engine.incarnation or unit.is_dead
        if not is_over:
            engine.ran = engine.ran or unit.active == "active"
            engine.dying = engine.dying or unit.active == "deactivating"
        if not engine.named:
            return
        if is_over:
            del self._engines[engine.slot]
            if not unit.is_gone:
                self._leaving.add(engine.slot)
            at = unit.ended if unit.ended and unit.invocation == engine.incarnation else None
            self._tell(EngineDied(engine.slot, engine.incarnation, *_why(engine, unit), at))
        elif engine.ran and not engine.container_id:
            engine.container_id = self._container_id(engine.slot)
            if engine.container_id:
                self._tell(EngineIdentified(engine.slot, engine.incarnation, engine.container_id))

    def _name(self, engine: _Engine) -> _Engine:
        self._engines[engine.slot] = engine
        # Not at once: whoever awaits us is to hear of this start before it hears of its end.
        self._loop.call_soon(self._loop.call_soon, self._watch, engine)
        return engine

    def _watch(self, engine: _Engine) -> None:
        if self._engines.get(engine.slot) is engine:
            engine.named = True
            if (unit := self._seen.get(engine.slot)) is not None:
                self._judge(engine.slot, unit)

    async def _find(self, living: dict[Slot, str]) -> None:
        """Names what runs and is not known: an earlier acekeeper's, or started by hand."""
        new = [slot for slot in living if not self._is_held(slot)]
        starts = await asyncio.gather(*(self._systemd.invocation(s.unit) for s in new))
        for slot, incarnation in zip(new, starts, strict=True):
            if incarnation and not self._is_held(slot):  # it may be there, or gone, by now
                state = living[slot]
                self._name(
                    _Engine(
                        slot,
                        incarnation,
                        self._container_id(slot),
                        self._reservations.read(slot),
                        ran=state == "active",
                        dying=state == "deactivating",
                    )
                )

    async def _joined(self, behind: Behind | None) -> str:
        """The container in whose network the engine is to be; empty: it has one of its own."""
        if behind is None:
            return ""
        if self._vpns is None:
            raise AssertionError("only with VPNs an engine is behind one")
        return await self._vpns.container(behind)

    async def _run(self, slot: Slot, ports: Ports, reserved: Reserved, due: float) -> Unit:
        """The unit, active. After RuntimeUnavailable nobody knows; the next list finds out."""
        self._seen.pop(slot, None)
        try:
            result = await self._jobs.run(slot, due)
            # What a job did to its unit is told before its end.
            unit = self._seen.get(slot)
            if result == "done" and unit is not None:
                return unit
            raise await self._failure(slot, ports, reserved, result, unit)
        except EngineFailed:
            unit = self._seen.get(slot)
            if unit is None or unit.is_gone:
                self._release(slot)
            raise

    async def _failure(
        self,
        slot: Slot,
        ports: Ports,
        reserved: Reserved,
        result: str,
        unit: Unit | None,
    ) -> EngineFailed:
        """May raise it too."""
        if self._vpns is not None and reserved.behind is not None:
            await self._vpns.container(reserved.behind)  # else it had nothing to join
        if unit is None:
            return EngineFailed(f"It did not start: its job was {result}", self._jobs.logs(slot))
        cause, detail = why(unit, ran=False, asked=result == "canceled")
        if cause == "image":
            self._image.doubt()
            if lacking := await self.lacks():
                return EngineFailed(lacking, cause=cause)
            return EngineFailed(f"It did not start: {detail}. {MEND}", self._jobs.logs(slot), cause)
        if cause == "network" and reserved.behind is None:
            test(ports, reserved.addresses)
        return EngineFailed(f"It did not start: {detail}", self._jobs.logs(slot), cause)

    def _is_held(self, slot: Slot) -> bool:
        return slot in self._engines or slot in self._starting or slot in self._leaving

    def _container_id(self, slot: Slot) -> str:
        return container_id.read(self._runtime_dir / slot.container_id_file)

    def _release(self, slot: Slot) -> None:
        """The unit is gone."""
        self._reservations.remove(slot)
        self._leaving.remove(slot)


def _why(engine: _Engine, unit: Unit) -> Why:
    if unit.invocation != engine.incarnation:
        return Why("gone", "another start took its place")
    return why(unit, ran=engine.ran, asked=engine.dying)

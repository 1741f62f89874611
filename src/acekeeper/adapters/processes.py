"""Engines as child processes, which outlive us and are found again by what they carry.

Each leads a session of its own; its name in its mark is its port.
"""

import asyncio
import hashlib
import os
import signal
from asyncio import Future, Task
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from acekeeper.adapters import marks, proc
from acekeeper.adapters.engine_logs import bound, log_file
from acekeeper.adapters.ports import present, test
from acekeeper.adapters.proc import Process
from acekeeper.adapters.spawn import spawn
from acekeeper.adapters.tail import read_tail
from acekeeper.core.build import Build
from acekeeper.core.facts import (
    EngineDied,
    EnginesListed,
    EngineStarted,
    EngineStopFailed,
    Fact,
    Found,
    RuntimeConnected,
)
from acekeeper.core.inspection import Inspection
from acekeeper.core.model import Now
from acekeeper.core.names import HERE, Ports, Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.vpns import VPN
from acekeeper.core.way_out import WayOut
from acekeeper.errors import EngineFailed, PortTaken, RuntimeUnavailable, StartTimedOut

if TYPE_CHECKING:
    from acekeeper.adapters.vpn_processes import VpnProcesses

_MARK = "ACEKEEPER_ENGINE"
_ADDRESSES = "ACEKEEPER_ADDRESSES"
_BUILD = "ACEKEEPER_BUILD"
_BEHIND = "ACEKEEPER_BEHIND"
_STOPPED = "stopped"  # names the engines that `acekeeper stop` ended
_KILL_AFTER = 10.0
_START_WITHIN = 120.0
_LOGS_EVERY = 1.0  # what an engine prints until the next look comes on top of what its log may have


class _Engine(Struct, frozen=True):
    slot: Slot
    session: int
    incarnation: str
    addresses: tuple[str, ...]
    build: Build
    behind: Behind | None
    pidfd: int

    @property
    def container_id(self) -> str:
        host, port = self.slot
        return hashlib.sha256(f"{host}:{port}:{self.incarnation}".encode()).hexdigest()


class Processes:
    def __init__(
        self,
        addresses: tuple[str, ...],
        command: tuple[str, ...],
        state_dir: Path,
        clock: Callable[[], Now],
        kill_after: float = _KILL_AFTER,
        start_within: float = _START_WITHIN,
        vpns: "VpnProcesses | None" = None,
    ) -> None:
        """The words of `command` may hold {addresses}, {http_port}, {https_port}, {p2p_port},
        {api_port}. `addresses`: ENGINE_HOST; `start_within`: PROVISION_TIMEOUT_S. Engines end with
        the one of `vpns` that they are behind."""
        self._addresses = addresses
        self._command = command
        digest = hashlib.sha256("\0".join(command).encode()).hexdigest()
        self._build = Build(fingerprint=digest)
        self._state_dir = state_dir.resolve()
        self._clock = clock
        self._kill_after = kill_after
        self._start_within = start_within
        self._vpns = vpns
        self._boot = proc.boot_id()
        self._engines: dict[Slot, _Engine] = {}
        self._starting: set[Slot] = set()
        self._kills: dict[_Engine, Task[None]] = {}
        self._bounding: list[Task[None]] = []

    async def open(self, tell: Callable[[Fact], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._stopped = await asyncio.to_thread(_noted_stops, self._state_dir)
        self._bounding.append(self._loop.create_task(self._bound_logs()))
        if self._vpns is not None:
            self._vpns.open(tell, self._end_those_cut_off)
        tell(RuntimeConnected())

    async def close(self) -> None:
        tasks = [*self._kills.values(), *self._bounding]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for engine in list(self._engines.values()):
            self._forget(engine)
        if self._vpns is not None:
            await self._vpns.close()

    async def list(self) -> EnginesListed:
        asked = self._clock()
        try:
            if self._vpns is not None:
                await self._vpns.find()
            for process, port in await asyncio.to_thread(_leaders, self._state_dir):
                slot = Slot(HERE, port)
                # What is being started is for `start` to name. And of two sessions of one engine
                # (it made itself a daemon) the elder is the engine while it lives.
                if slot in self._engines or slot in self._starting:
                    continue
                pidfd = proc.hold(process)
                if pidfd is not None:
                    given = proc.given(process, _ADDRESSES)
                    addresses = tuple(given.split(",")) if given else (HERE,)
                    build = Build(fingerprint=proc.given(process, _BUILD))
                    behind = _behind(proc.given(process, _BEHIND))
                    self._watch(slot, process, pidfd, addresses, build, behind)
        except OSError as error:
            raise RuntimeUnavailable(f"The processes cannot be listed: {error}") from error
        self._end_those_cut_off()
        found = tuple(
            Found(
                e.slot,
                e.incarnation,
                e.container_id,
                addresses=e.addresses,
                build=e.build,
                behind=e.behind,
            )
            for e in self._engines.values()
        )
        return EnginesListed(HERE, self._boot, asked, found, self._stopped, build=self._build)

    async def start(self, slot: Slot, ports: Ports, behind: Behind | None = None) -> EngineStarted:
        if slot in self._engines or slot in self._starting:
            raise PortTaken(f"Port {slot.port} has an engine already")
        if behind is not None and not self._is_there(behind):
            raise EngineFailed(f"The VPN {behind.vpn} ended or restarted meanwhile", cause=VPN)
        addresses = present(self._addresses)
        test(ports, addresses)
        self._starting.add(slot)
        mark = {_MARK: marks.mark(self._state_dir, slot.port), _ADDRESSES: ",".join(addresses)}
        mark[_BUILD] = self._build.fingerprint
        if behind is not None:
            mark[_BEHIND] = msgspec.json.encode(behind).decode()
            ports = ports._replace(p2p=behind.forwarded or ports.p2p)
        spawned = self._loop.run_in_executor(
            None, spawn, self._command, slot, ports, addresses, self._state_dir, mark
        )
        await asyncio.wait({spawned}, timeout=self._start_within)
        if not spawned.done():  # a file system that hangs
            spawned.add_done_callback(partial(self._came_late, slot, addresses, behind))
            raise StartTimedOut(
                f"It was not run within the {self._start_within:g} s of PROVISION_TIMEOUT_S"
            )
        self._starting.discard(slot)
        engine = self._take(slot, addresses, behind, spawned.result())
        self._end_those_cut_off()
        named = engine.incarnation, engine.container_id
        return EngineStarted(slot, *named, engine.addresses, engine.build)

    def _came_late(
        self,
        slot: Slot,
        addresses: tuple[str, ...],
        behind: Behind | None,
        spawned: Future[int],
    ) -> None:
        self._starting.discard(slot)
        if not spawned.cancelled() and spawned.exception() is None:
            self._kill(self._take(slot, addresses, behind, spawned.result()), 0)

    def _take(
        self, slot: Slot, addresses: tuple[str, ...], behind: Behind | None, pid: int
    ) -> _Engine:
        # Our child keeps its number until we reap it, even if it has ended by now.
        process = proc.read(pid)
        if process is None:
            raise EngineFailed(f"Process {pid} of the engine is not to be seen")
        return self._watch(slot, process, os.pidfd_open(pid), addresses, self._build, behind)

    async def stop(self, slot: Slot, incarnation: str) -> None:
        engine = self._engines.get(slot)
        if engine is None or engine.incarnation != incarnation:
            return
        try:
            await self._signal(engine, signal.SIGTERM)
        except OSError as error:
            raise EngineFailed(f"The engine cannot be signalled: {error}") from error
        self._kill(engine, self._kill_after)

    def way_out(self) -> WayOut | None:
        """Its engines have no network of their own."""
        return None

    async def unheard(self) -> str:
        return ""

    async def lacks(self) -> str:
        return ""  # a command that cannot be run says so itself

    async def inspect(self, slot: Slot, container_id: str) -> Inspection:
        engine = self._engines.get(slot)
        if engine is None or engine.container_id != container_id:
            return Inspection(unread="its process is not known any more")
        return Inspection(status="running", pid=engine.session)

    async def logs(self, slot: Slot, container_id: str, tail: int) -> str | None:
        engine = self._engines.get(slot)
        if engine is None or engine.container_id != container_id:
            return None
        try:
            return await asyncio.to_thread(read_tail, log_file(self._state_dir, slot), tail)
        except OSError as error:
            raise RuntimeUnavailable(f"The engine's log cannot be read: {error}") from error

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOGS_EVERY)
            await asyncio.to_thread(bound, [log_file(self._state_dir, s) for s in self._engines])

    async def _signal(self, engine: _Engine, number: signal.Signals) -> None:
        """To its whole session: an engine may be the child of a script that passes nothing on,
        and outlive it."""
        if self._engines.get(engine.slot) is engine:
            proc.send(engine.pidfd, number)
        mark = marks.mark(self._state_dir, engine.slot.port)
        await asyncio.to_thread(marks.signal_followers, _MARK, engine.session, mark, number)

    def _kill(self, engine: _Engine, after: float) -> None:
        if engine in self._kills:
            return

        async def kill() -> None:
            await asyncio.sleep(after)
            try:
                await self._signal(engine, signal.SIGKILL)
            except OSError as error:
                self._tell(EngineStopFailed(engine.slot, engine.incarnation, str(error)))

        task = self._kills[engine] = self._loop.create_task(kill())
        task.add_done_callback(lambda _: self._kills.pop(engine))

    def _is_there(self, behind: Behind) -> bool:
        """Whether this start of the VPN runs; where there are none now, nobody is cut off."""
        return self._vpns is None or self._vpns.starts.get(behind.vpn) == behind.start

    def _end_those_cut_off(self) -> None:
        """They had no network of their own any more."""
        for engine in self._engines.values():
            if engine.behind is not None and not self._is_there(engine.behind):
                self._kill(engine, 0)

    def _watch(
        self,
        slot: Slot,
        process: Process,
        pidfd: int,
        addresses: tuple[str, ...],
        build: Build,
        behind: Behind | None,
    ) -> _Engine:
        incarnation = proc.start_of(process, self._boot)
        engine = _Engine(slot, process.session, incarnation, addresses, build, behind, pidfd)
        self._engines[slot] = engine
        # Not at once: whoever awaits us is to hear of this start before it hears of its end.
        self._loop.call_soon(self._listen, engine)
        return engine

    def _listen(self, engine: _Engine) -> None:
        if self._engines.get(engine.slot) is engine:
            self._loop.add_reader(engine.pidfd, self._ended, engine)

    def _ended(self, engine: _Engine) -> None:
        at = self._clock().mono  # nothing tells when it really was
        cause, detail = proc.reap(engine.pidfd)
        self._forget(engine)
        self._tell(EngineDied(engine.slot, engine.incarnation, cause, detail, at))
        self._kill(engine, 0)  # what it left behind, unless that is being stopped

    def _forget(self, engine: _Engine) -> None:
        del self._engines[engine.slot]
        self._loop.remove_reader(engine.pidfd)
        os.close(engine.pidfd)


def note_stops(state_dir: Path) -> None:
    """Before `stop_all`: names the starts it will end, so that the next service knows they were
    meant to end. They never come again: an old word harms nobody."""
    boot = proc.boot_id()
    if leaders := _leaders(state_dir.resolve()):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(state_dir / _STOPPED, flags, 0o600), "w") as file:
            file.writelines(f"{proc.start_of(process, boot)}\n" for process, _ in leaders)


def _noted_stops(state_dir: Path) -> frozenset[str]:
    """Empty if it cannot be read: its engines are called vanished then, which is true too."""
    with suppress(OSError):
        return frozenset((state_dir / _STOPPED).read_text(errors="replace").split())
    return frozenset()


def stop_all(state_dir: Path, kill_after: float = _KILL_AFTER) -> int:
    """Ends every engine of this state directory, also when no acekeeper runs; says how many."""
    return len(marks.end_marked(_MARK, state_dir.resolve(), kill_after))


def _behind(said: str) -> Behind | None:
    return msgspec.json.decode(said, type=Behind) if said else None


def _leaders(state_dir: Path) -> list[tuple[Process, int]]:
    """The eldest first."""
    found = marks.leaders(_MARK, state_dir)
    return [(process, int(port)) for process, port in found if port.isdecimal()]

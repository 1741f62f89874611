"""VPNs as child processes: emulated ones, which outlive us and are found again as engines are.

One that died is run again after a second, as systemd would.
"""

import asyncio
import hashlib
import os
import sys
from asyncio import Task
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from loguru import logger
from msgspec import Struct

from acekeeper.adapters import marks, net_dev, proc
from acekeeper.adapters.proc import Process
from acekeeper.adapters.spawn import launch
from acekeeper.core.facts import Fact, VpnEnded, VpnStarted
from acekeeper.errors import EngineFailed

_MARK = "ACEKEEPER_VPN"
_MADE_OF = "ACEKEEPER_BUILD"
_AGAIN_AFTER = 1.0
_ENDED_WITHIN = 5.0
_FORWARDED = 51000  # and up, by their numbers: the ports that they say are forwarded


class _Running(Struct, frozen=True):
    name: str
    incarnation: str
    pidfd: int


class VpnProcesses:
    def __init__(
        self,
        names: tuple[str, ...],
        state_dir: Path,
        control_base: int,
        health_base: int,
        api_key: str,
    ) -> None:
        """`api_key`: empty if they are to ask for none."""
        self._names = names
        self._state_dir = state_dir.resolve()
        self._bases = control_base, health_base
        self._api_key = api_key
        self._boot = proc.boot_id()
        self._running: dict[str, _Running] = {}
        self._starting: dict[str, Task[None]] = {}

    def open(self, tell: Callable[[Fact], None], ended: Callable[[], None]) -> None:
        """`ended` is called after an end was told."""
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._gone = ended

    async def close(self) -> None:
        """They go on."""
        tasks = [*self._starting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for running in [*self._running.values()]:
            self._forget(running)

    @property
    def starts(self) -> dict[str, str]:
        """The start of each that runs."""
        return {name: running.incarnation for name, running in self._running.items()}

    async def find(self) -> None:
        """Tells of each whether it runs, and sees to it that it will."""
        for process, name in await asyncio.to_thread(self._ours):
            is_known = name in self._running or name in self._starting
            pidfd = None if is_known else proc.hold(process)
            if pidfd is not None:
                self._watch(name, process, pidfd)
        for name in self._names:
            if (running := self._running.get(name)) is not None:
                self._tell(VpnStarted(name, running.incarnation))
            else:
                self._tell(VpnEnded(name))
                self._start_after(name, 0)

    def traffic(self, vpn: str, incarnation: str) -> tuple[int, int] | None:
        """May wait for a disk that hangs."""
        if self.starts.get(vpn) != incarnation:
            return None
        return net_dev.counted(self._counters(vpn), "tun0")

    def _ours(self) -> list[tuple[Process, str]]:
        """The eldest first. Those that are not to run, or that have other settings, are ended."""
        found = marks.leaders(_MARK, self._state_dir)
        others = [p for p, n in found if proc.given(p, _MADE_OF) != self._made_of(n)]
        if others:
            proc.end_all(lambda: others, 0, _ENDED_WITHIN)
        return [(process, name) for process, name in found if process not in others]

    def _start_after(self, name: str, seconds: float) -> None:
        """Unless it is being started."""
        if name not in self._starting:
            self._starting[name] = self._loop.create_task(self._start(name, seconds))

    async def _start(self, name: str, after: float) -> None:
        pid = 0
        while not pid:
            await asyncio.sleep(after)
            try:
                pid = await asyncio.to_thread(self._spawn, name)
            except EngineFailed as error:
                logger.warning("vpn_not_started", vpn=name, why=str(error))
                after = _AGAIN_AFTER
        # Our child keeps its number until we reap it, even if it has ended by now.
        process = proc.read(pid)
        if process is None:
            raise AssertionError("a child is there until it is reaped")
        del self._starting[name]
        running = self._watch(name, process, os.pidfd_open(pid))
        self._tell(VpnStarted(name, running.incarnation))

    def _spawn(self, name: str) -> int:
        with suppress(OSError):  # then there are no counters to be seen
            self._counters(name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        variables = {_MARK: marks.mark(self._state_dir, name), _MADE_OF: self._made_of(name)}
        if self._api_key:
            variables["VPN_API_KEY"] = self._api_key
        log = self._state_dir / "logs" / f"vpn-{name}.log"
        return launch(self._command(name), log, self._state_dir, variables)

    def _command(self, name: str) -> list[str]:
        number = self._names.index(name)
        control, health = (base + number for base in self._bases)
        return [
            *(sys.executable, "-m", "acekeeper.emulator", "vpn"),
            *("--control-port", str(control), "--health-port", str(health)),
            *("--public-ip", f"203.0.113.{number % 254 + 1}", "--country", name),
            *("--forwarded-port", str(_FORWARDED + number)),
            *("--net-dev", str(self._counters(name))),
        ]

    def _made_of(self, name: str) -> str:
        """What it is run with; none of a name that is not ours (any more)."""
        if name not in self._names:
            return ""
        said = "\0".join([*self._command(name), self._api_key])
        return hashlib.sha256(said.encode()).hexdigest()

    def _counters(self, name: str) -> Path:
        return self._state_dir / "vpns" / f"{name}.net-dev"

    def _watch(self, name: str, process: Process, pidfd: int) -> _Running:
        running = _Running(name, proc.start_of(process, self._boot), pidfd)
        self._running[name] = running
        self._loop.add_reader(pidfd, partial(self._ended, running))
        return running

    def _ended(self, running: _Running) -> None:
        cause, detail = proc.reap(running.pidfd)
        self._forget(running)
        why = f"{cause}, {detail}" if detail else cause
        self._tell(VpnEnded(running.name, running.incarnation, why))
        self._gone()
        self._start_after(running.name, _AGAIN_AFTER)

    def _forget(self, running: _Running) -> None:
        del self._running[running.name]
        self._loop.remove_reader(running.pidfd)
        os.close(running.pidfd)


def stop_vpns(state_dir: Path) -> int:
    """Ends every VPN of this state directory, also when no acekeeper runs; says how many."""
    return len(marks.end_marked(_MARK, state_dir.resolve(), _ENDED_WITHIN))

"""VPNs as units of the user's systemd, which restarts them; what they run is in their containers.

A start is named by systemd's invocation id. Nothing is started or stopped here.
"""

from collections.abc import Callable
from pathlib import Path

from acekeeper.adapters import container_id, net_dev
from acekeeper.adapters.systemd import Systemd
from acekeeper.adapters.unit import Unit, why
from acekeeper.core.facts import Fact, VpnEnded, VpnStarted
from acekeeper.core.vpn import Behind
from acekeeper.errors import EngineFailed

_UNITS = "vpn@*.service"
_TUNNEL = "tun0"
_PROC = Path("/proc")


class VpnUnits:
    def __init__(self, names: tuple[str, ...], systemd: Systemd, runtime_dir: Path) -> None:
        self._names = {unit_of(name): name for name in names}
        self._systemd = systemd
        self._runtime_dir = runtime_dir
        self._running: dict[str, str] = {}  # the start of each
        self._heard: set[str] = set()  # those of which a signal came since the last look began

    def open(self, tell: Callable[[Fact], None]) -> None:
        self._tell = tell

    def lost(self) -> None:
        """The bus went away: the next look finds out."""
        self._running.clear()

    async def look(self) -> None:
        """Tells how all of them are. What a signal said meanwhile is newer, and was told."""
        self._heard.clear()
        states = await self._systemd.states(_UNITS)
        for unit, name in self._names.items():
            active = states.get(unit) == "active"
            incarnation = await self._systemd.invocation(unit) if active else ""
            if name in self._heard:
                continue
            if incarnation:
                self._runs(name, incarnation)
            else:
                self._running.pop(name, None)
                self._tell(VpnEnded(name))

    def changed(self, unit: Unit) -> None:
        name = self._names.get(unit.name)
        if name is None:
            return
        self._heard.add(name)
        if unit.active == "active":
            self._runs(name, unit.invocation)
        elif (before := self._running.pop(name, None)) is not None:
            is_same = unit.invocation == before
            said = why(unit, ran=True, asked=not unit.is_dead).detail if is_same else "restarted"
            self._tell(VpnEnded(name, before, said))

    async def container(self, behind: Behind) -> str:
        """The container whose network an engine is to join. Raises EngineFailed unless that very
        start of the VPN runs still."""
        found = container_id.read(self._runtime_dir / f"vpn@{behind.vpn}.cid")
        # In this order: the file is the next start's only when that is the unit's invocation.
        if found and await self.runs(behind):
            return found
        raise ended(behind)

    async def runs(self, behind: Behind) -> bool:
        """As systemd has it now."""
        unit = unit_of(behind.vpn)
        if (await self._systemd.states(unit)).get(unit) != "active":
            return False
        return await self._systemd.invocation(unit) == behind.start

    def traffic(self, vpn: str, incarnation: str) -> tuple[int, int] | None:
        """By the tunnel's own counters, as its container has them."""
        if self._running.get(vpn) != incarnation:
            return None
        try:
            pid = int((self._runtime_dir / f"vpn@{vpn}.pid").read_text())
        except (OSError, ValueError):
            return None  # Podman has not got so far
        return net_dev.counted(_PROC / f"{pid}/net/dev", _TUNNEL)

    def _runs(self, name: str, start: str) -> None:
        self._running[name] = start
        self._tell(VpnStarted(name, start))


def unit_of(vpn: str) -> str:
    return f"vpn@{vpn}.service"


def ended(behind: Behind) -> EngineFailed:
    return EngineFailed(
        f"The VPN {behind.vpn} ended, or started again, before the engine had joined it",
        f"See journalctl _SYSTEMD_USER_UNIT={unit_of(behind.vpn)}",
        "vpn",
    )

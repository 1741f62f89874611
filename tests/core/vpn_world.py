"""A world with VPNs: their units run as a test says, and their control servers say what it says."""

import itertools

from msgspec.structs import replace

from acekeeper.core import vpns
from acekeeper.core.facts import VpnAnswered, VpnEnded, VpnSilent, VpnStarted, VpnTraffic
from acekeeper.core.model import Engine
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Tunnel, Vpn

from .world import World, rules

TWO = rules(vpns=("de", "ch"), vpn_slots=4, max_replicas=8)
ONE = rules(vpns=("de",), vpn_slots=4, max_replicas=4)


class VpnWorld(World):
    def __init__(self, rules: Rules = TWO, *, state: State | None = None) -> None:
        super().__init__(rules, state=state)
        self._starts = itertools.count(1)

    def up(self, name: str, *, port: int | None = None) -> None:
        """Its unit starts, and it has a tunnel."""
        self.start_unit(name)
        self.answer(name, port=port)

    def start_unit(self, name: str) -> None:
        start = self.vpn_starts[name] = f"{name}-{next(self._starts)}"
        self.tell(VpnStarted(name, start))

    def answer(self, name: str, *, is_healthy: bool = True, port: int | None = None) -> None:
        ip = "203.0.113.1" if is_healthy else ""
        self.tell(VpnAnswered(name, self.vpn_starts[name], is_healthy, ip, port=port))

    def silence(self, name: str, *, excused: bool = False) -> None:
        self.tell(VpnSilent(name, self.vpn_starts[name], "timeout", excused))

    def count(self, name: str, received: int, sent: int) -> None:
        self.tell(VpnTraffic(name, self.vpn_starts[name], received, sent, self.now.mono))

    def end_unit(self, name: str, why: str = "killed") -> None:
        """And with it all engines behind it, shortly after."""
        start = self.vpn_starts.pop(name)
        self.tell(VpnEnded(name, start, why))
        self.die_behind(name, start)

    def die_behind(self, name: str, start: str) -> None:
        for where, engine in list(self.outside.items()):
            if engine.behind is not None and (engine.behind.vpn, engine.behind.start) == (
                name,
                start,
            ):
                self.die(where, "exited", engine.incarnation)

    def vpn(self, name: str) -> Vpn:
        return self.state.vpns[name]

    def tunnel(self, name: str) -> Tunnel:
        return self.vpn(name).tunnel

    def behind(self, name: str) -> list[Engine]:
        return sorted(self.state.behind(name), key=lambda e: e.slot)

    def forwarded(self) -> list[int]:
        return [
            e.slot.port - 19000
            for e in self.state.engines.values()
            if vpns.is_forwarded(self.state, e)
        ]


def world_of(count: int, of: Rules = TWO, **ports: int) -> VpnWorld:
    """All VPNs are up, with as many free engines as are wanted, ready and rested."""
    world = VpnWorld(replace(of, min_replicas=count))
    for name in of.vpns:
        world.up(name, port=ports.get(name))
    world.connect()
    world.run(200)
    assert len(world.listed()) == count
    world.taken.clear()
    world.happened.clear()
    return world

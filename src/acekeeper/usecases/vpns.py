"""VPNs are asked whether they have a tunnel, and what goes through it is looked at."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

from acekeeper.core.facts import VpnAnswered, VpnSilent, VpnTraffic
from acekeeper.core.vpn import Vpn
from acekeeper.errors import NoAnswer
from acekeeper.usecases.defects import defect
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.protocols import TunnelCounters, VpnApi

_ANXIOUS = 1.0  # seconds between two questions to one that is not connected

_Start = tuple[str, str]  # a VPN, and the start of it


class Checks:
    """Each VPN that runs is asked by itself: one that hangs holds up no other."""

    def __init__(self, loop: Loop, api: VpnApi, traffic: TunnelCounters, interval: float) -> None:
        self._loop = loop
        self._api = api
        self._traffic = traffic
        self._interval = interval
        self._asked: dict[_Start, float] = {}  # when, the last time
        self._under_way: set[tuple[object, _Start]] = set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._loop.vpn_started.clear()
            self._ask_those_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_ANXIOUS, self._interval)):
                    await self._loop.vpn_started.wait()

    def _ask_those_due(self) -> None:
        now, running = self._loop.clock().mono, [*self._loop.state.vpns.values()]
        starts = {(vpn.name, vpn.incarnation): vpn for vpn in running if vpn.incarnation}
        self._asked = {start: at for start, at in self._asked.items() if start in starts}
        for start, vpn in starts.items():
            if start not in self._asked or now - self._asked[start] >= self._every(vpn):
                self._asked[start] = now
                self._begin(self._ask, start)
                self._begin(self._look, start)

    def _every(self, vpn: Vpn) -> float:
        return self._interval if vpn.is_connected else min(_ANXIOUS, self._interval)

    def _begin(
        self, work: Callable[[str, str], Coroutine[object, object, None]], start: _Start
    ) -> None:
        """Not while the same is still under way."""
        if (work, start) in self._under_way:
            return
        self._under_way.add((work, start))

        async def do() -> None:
            try:
                await work(*start)
            finally:
                self._under_way.discard((work, start))

        self._loop.spawn(do())

    async def _ask(self, vpn: str, incarnation: str) -> None:
        began = self._loop.clock()
        fact: VpnAnswered | VpnSilent
        try:
            fact = await self._api.ask(vpn, incarnation)
        except NoAnswer as error:
            excused = self._loop.lag.since(began)
            fact = VpnSilent(vpn, incarnation, str(error), excused=excused)
        except Exception as error:
            defect(error)
            fact = VpnSilent(vpn, incarnation, repr(error), excused=True)
        self._loop.tell(fact)

    async def _look(self, vpn: str, incarnation: str) -> None:
        """On a thread, since what it reads may be on a disk that hangs."""
        at = self._loop.clock().mono
        seen = await asyncio.to_thread(self._traffic.traffic, vpn, incarnation)
        if seen is not None:
            self._loop.tell(VpnTraffic(vpn, incarnation, *seen, at))

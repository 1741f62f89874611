"""This host tells the fleet of itself, and hears of the others."""

from acekeeper.core.fleet.actions import FleetAction
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.protocols import Bus


class Fleet:
    """`panel`: the URL at which others reach the panel of this host; empty if they do not."""

    def __init__(self, loop: Loop, bus: Bus, panel: str) -> None:
        self._loop = loop
        self._bus = bus
        self._panel = panel

    async def run(self) -> None:
        """Until it is cancelled."""
        raise NotImplementedError

    def take(self, action: FleetAction) -> None:
        raise NotImplementedError

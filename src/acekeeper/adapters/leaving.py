"""Engines that are dead while systemd still clears up after them: the next start there waits."""

import asyncio

from acekeeper.core.names import Slot
from acekeeper.errors import PortTaken


class Leaving:
    def __init__(self) -> None:
        self._gone: dict[Slot, asyncio.Event] = {}

    def __contains__(self, slot: Slot) -> bool:
        return slot in self._gone

    def add(self, slot: Slot) -> None:
        self._gone[slot] = asyncio.Event()

    def remove(self, slot: Slot) -> None:
        if (gone := self._gone.pop(slot, None)) is not None:
            gone.set()

    def clear(self) -> None:
        for slot in list(self._gone):
            self.remove(slot)

    async def wait(self, slot: Slot, due: float) -> None:
        """Raises PortTaken when it is still there then."""
        if (gone := self._gone.get(slot)) is None:
            return
        try:
            async with asyncio.timeout_at(due):
                await gone.wait()
        except TimeoutError:
            raise PortTaken(f"{slot.unit} of the last engine there does not end") from None

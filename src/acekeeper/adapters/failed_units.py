"""Units of engines that failed, which are shown as such for a while, then forgotten."""

from collections.abc import Collection
from contextlib import suppress

from acekeeper.adapters.systemd import Systemd
from acekeeper.core.model import Now
from acekeeper.core.names import Slot
from acekeeper.errors import EngineFailed

# For an operator to see in `systemctl --user --failed`; the journal keeps the reason.
_SHOWN = 600.0


class FailedUnits:
    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd
        self._since: dict[Slot, float] = {}  # when we saw the unit as failed first

    async def reset(self, failed: Collection[Slot], starting: Collection[Slot], now: Now) -> None:
        """`failed`: all that are. One that starts again is left alone."""
        self._since = {slot: self._since.get(slot, now.mono) for slot in failed}
        for slot, since in self._since.items():
            if now.mono - since >= _SHOWN and slot not in starting:
                with suppress(EngineFailed):  # it is gone already
                    await self._systemd.reset_failed(slot.unit)

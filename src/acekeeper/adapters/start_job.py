"""The job by which systemd starts an engine's unit, and its end when it takes too long."""

import asyncio
from pathlib import Path

from acekeeper.adapters.engine_logs import log_file
from acekeeper.adapters.systemd import Systemd
from acekeeper.core.names import Slot
from acekeeper.errors import AcekeeperError, StartTimedOut

STOP_WITHIN = 60.0  # longer than the unit's own limits, after which systemd kills


class StartJobs:
    def __init__(self, systemd: Systemd, state_dir: Path, within: float) -> None:
        """`within`: PROVISION_TIMEOUT_S."""
        self._systemd = systemd
        self._state_dir = state_dir
        self._within = within

    def due(self) -> float:
        """Of a start that begins now."""
        return asyncio.get_running_loop().time() + self._within

    async def run(self, slot: Slot, due: float) -> str:
        """Its result. Raises StartTimedOut."""
        try:
            async with asyncio.timeout_at(due):
                return await self._systemd.start(slot.unit)
        except TimeoutError:
            late = f"Not started within the {self._within:g} s of PROVISION_TIMEOUT_S"
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._systemd.stop(slot.unit)
        except (TimeoutError, AcekeeperError) as error:
            why = str(error) or f"not within {STOP_WITHIN:g} s"
            raise StartTimedOut(
                f"{late}, nor stopped after that: {why}", self.logs(slot)
            ) from error
        raise StartTimedOut(late, self.logs(slot))

    def logs(self, slot: Slot) -> str:
        """Where to read why."""
        file = log_file(self._state_dir, slot)
        return f"See journalctl _SYSTEMD_USER_UNIT={slot.unit} and {file}"

"""What starts of engines need from this host, and what is known of engines only by others: the
unit's files, room on its disks, the image; and Podman's socket."""

import asyncio
from pathlib import Path

from acekeeper.adapters.podman import MEND, SOCKET, Image, Podman
from acekeeper.adapters.room import full
from acekeeper.adapters.systemd import Systemd
from acekeeper.adapters.template import Template
from acekeeper.errors import AcekeeperError

_SOCKET_WITHIN = 10.0
_RELOAD_TAKES = 1.0


class Needs:
    def __init__(
        self,
        runtime_dir: Path,
        template: Template,
        image: Image,
        systemd: Systemd,
        podman: Podman,
    ) -> None:
        self._runtime_dir = runtime_dir
        self._template = template
        self._image = image
        self._systemd = systemd
        self._podman = podman

    async def lacks(self) -> str:
        """Why no engine can start; empty if one can."""
        if self._template.absence:
            await asyncio.sleep(_RELOAD_TAKES)  # its files are away for a moment
        if absence := self._template.absence:
            return absence
        return full(self._runtime_dir) or full(Path.home()) or await self._image.lacks()

    async def unheard(self) -> str:
        """Why Podman cannot be asked. Somebody may have stopped its socket, or removed its file:
        then it is started again."""
        result = "done"
        try:
            async with asyncio.timeout(_SOCKET_WITHIN):
                active = (await self._systemd.states(SOCKET)).get(SOCKET) == "active"
                if not active or not self._podman.has_socket:
                    result = await self._systemd.restart(SOCKET)
        except (TimeoutError, AcekeeperError) as error:
            result = str(error) or f"not within {_SOCKET_WITHIN:g} s"
        return "" if result == "done" else f"{SOCKET} does not start: {result.rstrip('.')}. {MEND}"

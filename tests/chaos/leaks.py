"""Sessions that nobody reads: acekeeper has to end those of the gateway. Engines do so themselves
later, and then nothing shows any more that it did not."""

from collections.abc import Collection
from contextlib import suppress

import aiohttp

from ..contract.service import Service


class Leaks:
    def __init__(self, service: Service) -> None:
        self._service = service
        # How often the engine ended sessions of a content by itself, until that was noted.
        self._noted: dict[tuple[int, int, str], int] = {}
        self._tried: set[int] = set()

    async def see_tried(self) -> None:
        """Engines that acekeeper may play from itself: such a session is left to its engine when
        acekeeper is killed."""
        engines = await self._service.get("/engines?include=all")
        self._tried |= {engine["port"] for engine in engines if engine["playback_doubted"]}

    async def note(self, contents: Collection[str]) -> None:
        """The sessions of now, but for those of lists, which may stay unread for as long.
        `contents`: the infohashes that players of the gateway asked for."""
        await self.see_tried()
        for port, pid in self._service.engine_processes():
            with suppress(aiohttp.ClientError):  # it starts
                for session in await self._service.sessions(port):
                    content = session["infohash"]
                    is_kept = session["is_hls"] or session["readers"] or port in self._tried
                    if content in contents and not is_kept:
                        self._noted[port, pid, content] = await self._expired(port, content)

    async def found(self) -> list[str]:
        running = self._service.engine_processes()
        return [
            f"the engine at {port} had to end {content} itself"
            for (port, pid, content), before in self._noted.items()
            if (port, pid) in running and await self._expired(port, content) > before
        ]

    def __len__(self) -> int:
        return len(self._noted)

    async def _expired(self, port: int, content: str) -> int:
        return (await self._service.counters(port, content))["sessions_expired"]

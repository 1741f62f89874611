"""Sessions that nobody reads: acekeeper has to end those of the gateway. Engines do so themselves
later, and then nothing shows any more that it did not."""

from contextlib import suppress

import aiohttp

from ..contract.service import Service


class Leaks:
    def __init__(self, service: Service) -> None:
        self._service = service
        # How often the engine ended sessions of a content by itself, until that was noted.
        self._noted: dict[tuple[int, int, str], int] = {}

    async def note(self, others: set[str]) -> None:
        """The sessions of now, but for those of lists, which may stay unread for as long. `others`:
        the contents of whoever is no player of the gateway."""
        engines = await self._service.get("/engines?include=all")
        tried = {engine["port"] for engine in engines if engine["playback_doubted"]}
        for port, pid in self._service.engine_processes():
            with suppress(aiohttp.ClientError):  # it starts
                for session in await self._service.sessions(port):
                    content = session["infohash"]
                    is_ours = content not in others and not session["is_hls"] and port not in tried
                    if is_ours and not session["readers"]:
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
        return (await self._service.counters_of(port, content))["sessions_expired"]

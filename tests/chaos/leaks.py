"""Sessions that nobody reads: acekeeper has to end those of the gateway. Engines do so themselves
later, and then nothing shows any more that it did not."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from ..contract.service import Service


class Leaks:
    def __init__(self, service: Service) -> None:
        self._service = service
        # How often the engine ended sessions of a content by itself, until that was noted.
        self._noted: dict[tuple[int, int, str], int] = {}

    async def note(self, contents: Collection[str]) -> None:
        """The sessions of now, but for those of lists, which may stay unread for as long.
        `contents`: the infohashes that players of the gateway asked for."""
        for port, pid in self._service.engine_processes():
            with suppress(aiohttp.ClientError):  # it starts
                sessions = await self._service.sessions(port)
                if _has_viewer(sessions, contents):
                    continue
                for session in sessions:
                    if not (session["is_hls"] or session["readers"]):
                        content = session["infohash"]
                        self._noted[port, pid, content] = await self._expired(port, content)

    async def found(self, contents: Collection[str]) -> list[str]:
        """Of those noted. `contents`: as before."""
        running = self._service.engine_processes()
        tried = self._tried()
        return [
            f"the engine at {port} had to end {content} itself"
            for (port, pid, content), before in self._noted.items()
            if (port, pid) in running
            and port not in tried
            and await self._expired(port, content) > before
            and not _has_viewer(await self._service.sessions(port), contents)
        ]

    def _tried(self) -> set[int]:
        """Engines that acekeeper may have played from itself: such a session is left to its engine
        when acekeeper ends meanwhile."""
        doubted = self._service.log("playback_doubted")
        return {int(line["engine"].rpartition("-")[2]) for line in doubted}

    def __len__(self) -> int:
        return len(self._noted)

    async def _expired(self, port: int, content: str) -> int:
        return (await self._service.counters(port, content))["sessions_expired"]


def _has_viewer(sessions: Iterable[Mapping[str, Any]], contents: Collection[str]) -> bool:
    """A viewer who came by the API chose this engine: what a player left there counts as read as
    long as somebody is connected."""
    return any(session["infohash"] not in contents for session in sessions)

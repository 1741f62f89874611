"""A player of HLS: it asks for the list of its session again and again, and reads what is new."""

import asyncio
from contextlib import suppress

import aiohttp

from ..contract.picture import PlaybackFailed
from ..contract.player import Player

_AGAIN_AFTER = 0.5
_WITHIN = aiohttp.ClientTimeout(total=40)  # the gateway's own wait for a list, and some more
_TRIES = 20  # while nobody listens


class ListPlayer(Player):
    """Its URL outlives the session, so `place` may change."""

    call = "manifest.m3u8"

    async def _take(self, answer: aiohttp.ClientResponse) -> None:
        url, playlist = self.asked[-1], await answer.text()
        while True:
            newest = [line for line in playlist.splitlines() if not line.startswith("#")][-1]
            if newest != self.place:
                self.place = newest
                await self._read_segment()
            await asyncio.sleep(_AGAIN_AFTER)
            playlist = await self._list(url)

    async def _list(self, url: str) -> str:
        for _ in range(_TRIES):
            with suppress(aiohttp.ClientConnectionError):
                async with self._http.get(url, timeout=_WITHIN) as answer:
                    if answer.status != 200:
                        raise PlaybackFailed(f"{answer.status} {await answer.text()}")
                    return await answer.text()
            await asyncio.sleep(_AGAIN_AFTER)
        raise PlaybackFailed("nobody listens")

    async def _read_segment(self) -> None:
        """Its engine may be gone by then: the next list says where it goes on."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.get(self.place, timeout=_WITHIN) as answer:
                if answer.status == 200:
                    self.received += len(await answer.read())
                    self._news.set()

"""The picture that somebody takes from an engine, byte by byte."""

import asyncio
from asyncio import Task
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import aiohttp

_PATIENCE = 60.0  # until more bytes come


class PlaybackFailed(Exception):
    pass


class Picture:
    """Nothing is said to anybody when it is left: the test is over then. `address`: the one of
    this host from which it asks, if not any."""

    def __init__(self, address: str | None = None) -> None:
        self.received = 0
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(address, 0) if address else None),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self._reading: Task[str] | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        try:
            await self.hang_up()
        finally:
            await self._http.close()

    @property
    def plays(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def takes(self, more: int) -> None:
        """Waits until this many more bytes have come; raises what ended them before."""
        wanted = self.received + more
        while self.received < wanted:
            if not self.plays:
                why = await self.ended()
                raise PlaybackFailed(f"the picture ended after {self.received} bytes: {why}")
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), _PATIENCE)

    async def ended(self) -> str:
        """Waits until it ends by itself: why it did."""
        if self._reading is None:
            raise PlaybackFailed("it never began")
        return await asyncio.shield(self._reading)

    async def hang_up(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _begin(self, reading: Coroutine[Any, Any, str]) -> None:
        """`reading` takes all there is, and says why it ended."""
        self._reading = asyncio.create_task(reading)
        self._reading.add_done_callback(lambda _: self._news.set())

    async def _take(self, answer: aiohttp.ClientResponse) -> None:
        async for data in answer.content.iter_any():
            self.received += len(data)
            self._news.set()

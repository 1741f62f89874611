"""Whenever the runtime can be reached (again): what runs is found, taken over and asked."""

import asyncio

from loguru import logger

from acekeeper.core.facts import Fact, RuntimeConnected
from acekeeper.errors import RuntimeUnavailable
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.sweep import Kind, Sweeps, list_engines


class Adoption:
    """Engines are probed after `serving` is set, so that the first answers do not wait for that."""

    def __init__(self, loop: Loop, sweeps: Sweeps, serving: asyncio.Event | None = None) -> None:
        self._loop = loop
        self._sweeps = sweeps
        self._serving = serving
        self.listed = asyncio.Event()

    async def open(self) -> None:
        await self._loop.runtime.open(self._tell)

    def _tell(self, fact: Fact) -> None:
        self._loop.tell(fact)
        if isinstance(fact, RuntimeConnected):
            self._loop.spawn(self._adopt())

    async def _adopt(self) -> None:
        """Signals may have been missed meanwhile, and streams may have ended."""
        try:
            await list_engines(self._loop)
        except RuntimeUnavailable as error:
            logger.warning("engines_not_listed", why=str(error))
            return
        self.listed.set()
        if self._serving is not None:
            await self._serving.wait()
        await self._sweeps.run(Kind.HEALTH)
        await self._sweeps.run(Kind.STREAMS)
        await self._loop.check_runtime()

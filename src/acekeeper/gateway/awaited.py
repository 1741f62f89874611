"""What is counted and logged of a player that waits for a picture: a redirect to it, or the first
list of an HLS session."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from loguru import logger
from msgspec import Struct

from acekeeper.core.model import Now
from acekeeper.gateway.context import Context


class Awaited(Struct, frozen=True):
    """`stream`: the session whose URL the player asks for, and `key` of its content."""

    context: Context
    player: str
    stream: str
    key: str
    since: Now

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Cancelled: the player hung up, or is redirected because the service stops."""
        try:
            yield
        except asyncio.CancelledError:
            if not self.context.leaving.is_begun:
                self.context.metrics.gateway_left_picture(self.key, self._waited)
            raise

    def came(self) -> None:
        self.context.metrics.gateway_pictured(self.key, self._waited)

    def failed(self, why: str) -> None:
        self.context.metrics.gateway_answered("no_picture", self.key)
        logger.info(
            "picture_failed",
            why=why,
            player=self.player,
            key=self.key,
            stream=self.stream,
            waited=round(self._waited, 3),
        )

    @property
    def _waited(self) -> float:
        return self.context.loop.clock().mono - self.since.mono

"""One request for a picture: the engine of the session is asked for it. If that says nothing, the
player is moved to another engine, once."""

import asyncio
from asyncio import Task
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import NamedTuple

from acekeeper.core.gateway.facts import PlayRequested
from acekeeper.core.gateway.model import NotPlayed
from acekeeper.core.model import Now, Stream
from acekeeper.errors import EngineInUse, EngineRefused, NoAnswer
from acekeeper.gateway.context import Context, by_gateway, slot_of
from acekeeper.gateway.door import Call
from acekeeper.usecases.gateway import Failed
from acekeeper.usecases.requests import play_here, wanted_again

_MOVES_AFTER = 7.0
_AGAIN_AFTER = 1.0  # an engine answers 500 while it fills its buffer
_MOVE_TAKES = 3.0

Sent = Callable[[], None]


class Place(NamedTuple):
    """Where the picture is, at the address at which the player came."""

    port: int
    path: str


async def loads(context: Context, stream: Stream) -> bool:
    """Whether its engine ought to give a picture: the network has peers, or the engine does not
    even answer a stat, or knows no such session."""
    try:
        sample = await context.loop.engines.stat(slot_of(stream), stream.stat_url)
    except NoAnswer:
        return True
    return sample is None or sample.peers > 0


@dataclass(slots=True)
class Visit:
    """Moments are monotonic. `ends`: when the wait is over. `hops_at`: when the player is
    redirected to the same URL. While `waits` is entered, a player waits for the picture of that
    session."""

    context: Context
    call: Call
    since: Now
    ends: float
    hops_at: float | None
    waits: Callable[[Stream], AbstractContextManager[Sent]]
    words: str = ""  # of an engine that says that the picture is not there yet

    async def reach(self, stream: Stream, sent: Sent) -> Place | Failed:
        if stream.ended is not None:
            return await self._elsewhere(stream)
        if by_gateway(stream).moved:
            return await self._from(stream, sent)
        here = asyncio.create_task(self._from(stream, sent))
        there = asyncio.create_task(self._elsewhere_when_late(stream, here))
        try:
            await asyncio.wait((here, there), return_when=asyncio.FIRST_COMPLETED)
            if here.done() and not here.cancelled() and isinstance(here.result(), Place):
                return here.result()
            moved = await there
            return moved if isinstance(moved, Place) or here.done() else await here
        finally:
            here.cancel()
            there.cancel()
            await asyncio.wait((here, there))

    async def _from(self, stream: Stream, sent: Sent) -> Place | Failed:
        opening, slot, arrival = by_gateway(stream).opening, slot_of(stream), self.call.arrival[0]
        while True:
            try:
                path = await self.context.loop.gateway.sessions.redirect(
                    slot, opening, arrival, self._left()
                )
            except EngineRefused as error:
                self.words = error.message
                if await self._is_gone(stream):
                    return Failed(NotPlayed.SILENT, "the engine knows its session no more", 1)
            except (EngineInUse, NoAnswer) as error:
                return Failed(NotPlayed.SILENT, f"the engine: {error}", 1)
            else:
                sent()
                return Place(slot.port, path)
            await asyncio.sleep(_AGAIN_AFTER)

    async def _elsewhere_when_late(
        self, stream: Stream, here: Task[Place | Failed]
    ) -> Place | Failed:
        late = asyncio.create_task(self._until_late(stream))
        try:
            await asyncio.wait((here, late), return_when=asyncio.FIRST_COMPLETED)
        finally:
            late.cancel()
        if self.hops_at is not None and self.hops_at - self._now() < _MOVE_TAKES:
            await asyncio.sleep(_MOVE_TAKES)  # the redirect comes first, and the move after it
        return await self._elsewhere(stream, here)

    async def _elsewhere(
        self, stream: Stream, here: Task[Place | Failed] | None = None
    ) -> Place | Failed:
        """Opens a session on another engine, in place of this one, and asks there for the
        picture."""
        loop, wanted = self.context.loop, wanted_again(stream, self.call.arrival[0])
        within = self.ends - self.since.mono
        asked = PlayRequested(token_hex(8), wanted, self.since, within, stream.id)
        moved = await play_here(loop, asked)
        if isinstance(moved, Failed):
            return moved
        if here is not None:
            here.cancel()
        with self.waits(moved) as sent:
            return await self._from(moved, sent)

    async def _until_late(self, stream: Stream) -> None:
        """Returns when the engine has had its time and gives no picture, though it has peers, or
        does not even answer a stat."""
        waited = self._now() - self.since.mono
        await asyncio.sleep(max(_AGAIN_AFTER, _MOVES_AFTER - waited))
        while True:
            if not self.words and await loads(self.context, stream):
                return
            await asyncio.sleep(_AGAIN_AFTER)

    async def _is_gone(self, stream: Stream) -> bool:
        with suppress(NoAnswer):
            engines = self.context.loop.engines
            return await engines.stat(slot_of(stream), stream.stat_url) is None
        return False

    def _now(self) -> float:
        return self.context.loop.clock().mono

    def _left(self) -> float:
        return max(_AGAIN_AFTER, self.ends - self._now())

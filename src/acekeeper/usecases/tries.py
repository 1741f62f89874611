"""Tries of playback under way; each can be broken off."""

import asyncio
from asyncio import Task
from collections.abc import Coroutine

from loguru import logger

from acekeeper.core.actions import Try
from acekeeper.core.facts import PlaybackAnswered, PlaybackFailed, Verdict
from acekeeper.core.model import Now
from acekeeper.core.names import Slot
from acekeeper.errors import EngineInUse, NoAnswer
from acekeeper.usecases.lag import Lag
from acekeeper.usecases.protocols import Clock, Player

Tried = PlaybackAnswered | PlaybackFailed


class Tries:
    def __init__(self, player: Player, clock: Clock, lag: Lag) -> None:
        self._player = player
        self._clock = clock
        self._lag = lag
        self._under_way: dict[Slot, Task[tuple[Verdict, str]]] = {}

    def begin(self, action: Try) -> Coroutine[object, object, Tried]:
        """It has begun when this returns, so that it can be broken off from then on."""
        task = asyncio.create_task(self._player.play(action.slot, action.content))
        self._under_way[action.slot] = task
        return self._outcome(action, task, self._clock())

    def give_way(self, slot: Slot) -> None:
        if slot in self._under_way:
            self._under_way[slot].cancel()

    async def close(self) -> None:
        """What they began on an engine they end."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _outcome(self, action: Try, task: Task[tuple[Verdict, str]], began: Now) -> Tried:
        ref = action.ref
        await asyncio.wait({task})
        if self._under_way.get(action.slot) is task:
            del self._under_way[action.slot]
        if task.cancelled():
            return PlaybackFailed(*ref, "a viewer came", excused=True)
        match task.exception():
            case None:
                return PlaybackAnswered(*ref, *task.result())
            case EngineInUse() as error:
                return PlaybackFailed(*ref, str(error), excused=True)
            case NoAnswer() as error:
                return PlaybackFailed(*ref, str(error), excused=self._lag.since(began))
            case error:
                logger.opt(exception=error).error("playback_try_failed")
                return PlaybackFailed(*ref, repr(error), excused=True)

"""Writes that wait for the disk: behind one that hangs they fail in time, on the event loop."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable

from acekeeper.errors import StoreFailed

WITHIN = 2.0  # seconds; the client gives up after 3
_AT_A_TIME = 0.75  # one thing that takes longer hangs, however much there is to do
_LOOK_EVERY = 0.1


class Patience:
    """`busy_for`: how long the writer has been at the one thing it does now."""

    def __init__(self, busy_for: Callable[[], float], give_up: Callable[[], StoreFailed]) -> None:
        self._busy_for = busy_for
        self._give_up = give_up
        self._waiting: deque[tuple[float, Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, durable: Future[None]) -> None:
        self._forget_done()
        loop = durable.get_loop()
        self._waiting.append((loop.time() + WITHIN, durable))
        if self._timer is None:
            self._timer = loop.call_later(WITHIN, self._look)

    def _look(self) -> None:
        self._timer = None
        self._forget_done()
        if not self._waiting:
            return
        loop = self._waiting[0][1].get_loop()
        if self._waiting[0][0] <= loop.time() and self._busy_for() > _AT_A_TIME:
            failed = self._give_up()
            while self._waiting and self._waiting[0][0] <= loop.time():
                _, durable = self._waiting.popleft()
                if not durable.done():
                    durable.set_exception(StoreFailed(failed.message, failed.hint))
            if not self._waiting:
                return
        wait = max(self._waiting[0][0] - loop.time(), _LOOK_EVERY)
        self._timer = loop.call_later(wait, self._look)

    def _forget_done(self) -> None:
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()

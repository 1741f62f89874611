"""How late our own event loop is: while it is, the silence of others proves nothing."""

import asyncio
from collections.abc import Callable

from acekeeper.core.model import Now
from acekeeper.usecases.protocols import Clock

_EVERY = 0.25
_LATE = 1.0


class Lag:
    """`measured` is told how late it was, again and again."""

    def __init__(self, clock: Clock, measured: Callable[[float], None] = lambda _: None) -> None:
        self._clock = clock
        self._measured = measured
        self._due = clock().mono + _EVERY
        self._late_at = 0.0
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._tick)

    def since(self, then: Now) -> bool:
        """Whether the loop was a second late at some time since `then`."""
        now = self._clock().mono
        return now - self._due >= _LATE or self._late_at >= then.mono

    def close(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        now = self._clock().mono
        if now - self._due >= _LATE:
            self._late_at = now
        self._measured(max(0.0, now - self._due))
        self._due = now + _EVERY
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._tick)

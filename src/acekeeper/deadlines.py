"""Times that run out, of which there are many and few ever do."""

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls for what is still in it so many seconds after it was added. As these are the same for
    all, the oldest is due first, and one timer does for any number."""

    def __init__(self, seconds: float, call: Callable[[T], object]) -> None:
        self.seconds = seconds
        self._call = call
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, what: T) -> None:
        """Or begins its time anew."""
        loop = asyncio.get_running_loop()
        self._due.pop(what, None)
        self._due[what] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._look, loop)

    def discard(self, what: T) -> None:
        self._due.pop(what, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        late = [what for what, _ in takewhile(lambda due: due[1] <= now, self._due.items())]
        for what in late:
            del self._due[what]
        self._timer = None
        if self._due:
            self._timer = loop.call_at(next(iter(self._due.values())), self._look, loop)
        for what in late:
            self._call(what)

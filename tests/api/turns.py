"""A clock of the event loop's turns that no busy machine disturbs: it counts lines of Python."""

import asyncio
import selectors
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

AT_MOST = 200_000
"""Lines that fit in a turn. By what was measured a line takes 25 to 100 ns, and 190 where memory is
cold: so these are 5 to 20 ms, and hardly ever more."""


class Turns(selectors.DefaultSelector):
    """Between two looks for what is ready the loop does one turn: nobody else is served in it.

    `longest` is the most lines that one of them took, those of coroutines, comprehensions and
    libraries included; what is done in C counts as the line that calls it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0
        self._lines = 0
        self._counted = False

    def select(self, timeout: float | None = None) -> Any:
        if self._counted:
            self.longest = max(self.longest, self._lines)
        ready = super().select(timeout)
        self._lines = 0
        return ready

    async def count(self, work: Coroutine[Any, Any, T]) -> T:
        """Does `work`, and what comes of it within some more turns."""
        self.longest = self._lines = 0

        def line(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
            self._lines += 1
            return line

        before = sys.gettrace()
        await asyncio.sleep(0)
        self._counted = True
        sys.settrace(line)
        try:
            found = await asyncio.create_task(work)
            for _ in range(10):
                await asyncio.sleep(0)
        finally:
            sys.settrace(before)
            self._counted = False
        return found


def run(work: Callable[[Turns], Coroutine[Any, Any, T]]) -> T:
    """On a loop of its own."""
    turns = Turns()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(turns)) as runner:
        return runner.run(work(turns))

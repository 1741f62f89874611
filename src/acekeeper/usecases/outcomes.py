"""Those who wait for what the plan decides about their requests."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# A stalled disk must not cost a viewer the engine.
_ON_DISK_WITHIN = 0.3


class Outcomes(Generic[T]):
    def __init__(self) -> None:
        self._waiting: dict[str, Future[T]] = {}

    def wait(self, request: str) -> Future[T]:
        """Before the request is told, or its outcome may be missed."""
        future: Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        future.add_done_callback(lambda _: self._waiting.pop(request, None))
        return future

    def resolve(self, request: str, outcome: T) -> bool:
        """Whether somebody still waits for it."""
        future = self._waiting.get(request)
        if future is None or future.done():
            return False
        future.set_result(outcome)
        return True


def once_kept(durable: Future[None], go: Callable[[], None]) -> None:
    """Calls `go` when what it tells of is on disk, or soon if the disk takes its time."""
    is_done = False

    def once(_: object = None) -> None:
        nonlocal is_done
        if not is_done:
            is_done = True
            timer.cancel()
            go()

    timer = asyncio.get_running_loop().call_later(_ON_DISK_WITHIN, once)
    durable.add_done_callback(once)

"""Much work in small steps, so that nobody waits for all of it."""

import asyncio
from asyncio import Task
from collections.abc import Callable, Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")
V = TypeVar("V")

_AT_ONCE = 20


async def take_turns(n: int, at_once: int = _AT_ONCE) -> None:
    """After the n-th step of many: who reads is not to wait for all of them."""
    if n % at_once == at_once - 1:
        await asyncio.sleep(0)


async def one_by_one(
    values: Iterable[V], work: Callable[[V], T], at_once: int = _AT_ONCE
) -> list[T]:
    done = []
    for n, value in enumerate(values):
        done.append(work(value))
        await take_turns(n, at_once)
    return done


async def gather_in_turns(
    works: Iterable[Coroutine[object, object, T]], at_once: int = 4
) -> list[T]:
    """As `gather`, but that so many begin in a turn of the event loop; then they go on side by
    side. If one raises, the others are cancelled."""
    tasks: list[Task[T]] = []
    try:
        for n, work in enumerate(works):
            tasks.append(asyncio.create_task(work))
            await take_turns(n, at_once)
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()

"""What the client tells of its streams. Done means on disk."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from acekeeper.core.facts import StreamEnded, StreamStarted
from acekeeper.core.streams import end_target
from acekeeper.errors import StoreFailed
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.turns import slices

_UNDER_WAY = 50  # slices of a batch that wait for the disk: memory is not to grow with it


class Result(NamedTuple):
    """`stream_id` is None when no stream was meant, `error` empty when all went well. `kept`: it
    is on disk, whatever came of it."""

    stream_id: str | None
    error: str = ""
    kept: bool = True


class _Told(NamedTuple):
    """Events that are written together, and the streams they meant."""

    done: Future[None]
    ids: list[str | None]


async def stream_started(loop: Loop, fact: StreamStarted) -> str:
    await loop.tell(fact)
    return fact.id


async def stream_ended(loop: Loop, fact: StreamEnded) -> str | None:
    """The stream it ended; None when there was none to end (it is remembered all the same)."""
    target = end_target(loop.state, fact)
    await loop.tell(fact)
    return target.id if target else None


async def batch(
    loop: Loop, started: Sequence[StreamStarted], ended: Sequence[StreamEnded]
) -> tuple[list[Result], list[Result]]:
    def start(facts: Sequence[StreamStarted]) -> _Told:
        return _Told(loop.tell_all(facts), [fact.id for fact in facts])

    def end(facts: Sequence[StreamEnded]) -> _Told:
        ids: list[str | None] = []

        def each() -> Iterator[StreamEnded]:
            for fact in facts:
                target = end_target(loop.state, fact)
                ids.append(target.id if target else None)
                yield fact

        return _Told(loop.tell_all(each()), ids)

    works: Iterable[Callable[[], _Told]] = chain(
        (partial(start, facts) for facts in slices(started)),
        (partial(end, facts) for facts in slices(ended)),
    )
    results: list[Result] = []
    under_way: deque[_Told] = deque()
    for work in works:
        if len(under_way) == _UNDER_WAY:
            results += await _results(under_way.popleft())
        under_way.append(work())
        await asyncio.sleep(0)
    for told in under_way:
        results += await _results(told)
    return results[: len(started)], results[len(started) :]


async def _results(told: _Told) -> list[Result]:
    try:
        await asyncio.shield(told.done)
    except StoreFailed as error:
        return [Result(stream_id, str(error), kept=False) for stream_id in told.ids]
    return [Result(i, "" if i is not None else "stream not found") for i in told.ids]

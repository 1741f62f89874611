"""What the client tells of its streams. Done means on disk."""

import asyncio
from asyncio import Future
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from acekeeper.core.facts import StreamEnded, StreamStarted
from acekeeper.core.streams import end_target
from acekeeper.errors import StoreFailed
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.turns import one_by_one, slices


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

    starts = await one_by_one(slices(started), start, 1)
    ends = await one_by_one(slices(ended), end, 1)
    return await _results(starts), await _results(ends)


async def _results(told: Sequence[_Told]) -> list[Result]:
    results: list[Result] = []
    for done, ids in told:
        try:
            await asyncio.shield(done)
        except StoreFailed as error:
            why = str(error)
            results += (Result(stream_id, why, kept=False) for stream_id in ids)
        else:
            results += (Result(i, "" if i is not None else "stream not found") for i in ids)
        await asyncio.sleep(0)
    return results

"""What the client tells of its streams. Done means on disk."""

import asyncio
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

from acekeeper.core.facts import StreamEnded, StreamStarted
from acekeeper.core.streams import end_target
from acekeeper.errors import StoreFailed
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.turns import one_by_one, take_turns


@dataclass(frozen=True, slots=True)
class Result:
    """`stream_id` is None when no stream was meant, `error` empty when all went well. `kept`: it
    is on disk, whatever came of it."""

    stream_id: str | None
    error: str = ""
    kept: bool = True


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
    def start(fact: StreamStarted) -> tuple[Future[None], str | None]:
        return loop.tell(fact), fact.id

    def end(fact: StreamEnded) -> tuple[Future[None], str | None]:
        target = end_target(loop.state, fact)
        return loop.tell(fact), target.id if target else None

    starts = await one_by_one(started, start)
    ends = await one_by_one(ended, end)
    return await _results(starts), await _results(ends)


async def _results(events: Sequence[tuple[Future[None], str | None]]) -> list[Result]:
    results = []
    for n, (done, stream_id) in enumerate(events):
        await take_turns(n)
        results.append(await _result(done, stream_id))
    return results


async def _result(done: Future[None], stream_id: str | None) -> Result:
    try:
        await asyncio.shield(done)
    except StoreFailed as error:
        return Result(stream_id, str(error), kept=False)
    return Result(stream_id, "" if stream_id is not None else "stream not found")

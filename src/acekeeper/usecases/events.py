"""What the client tells of its streams. Done means on disk."""

import asyncio
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

from acekeeper.core.facts import StreamEnded, StreamStarted
from acekeeper.core.streams import end_target
from acekeeper.errors import StoreFailed
from acekeeper.usecases.loop import Loop

_AT_ONCE = 20


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
    starts = []
    for n, start in enumerate(started):
        await take_turns(n)
        starts.append((loop.tell(start), start.id))
    ends = []
    for n, fact in enumerate(ended):
        await take_turns(n)
        target = end_target(loop.state, fact)
        ends.append((loop.tell(fact), target.id if target else None))
    return await _results(starts), await _results(ends)


async def take_turns(n: int) -> None:
    """Before the n-th step of many: who reads is not to wait for all of them."""
    if n % _AT_ONCE == _AT_ONCE - 1:
        await asyncio.sleep(0)


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

"""What the client tells of its streams. Done means on disk."""

import asyncio
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

from acekeeper.core.facts import StreamEnded, StreamStarted
from acekeeper.core.streams import end_target
from acekeeper.errors import StoreFailed
from acekeeper.usecases.loop import Loop


@dataclass(frozen=True, slots=True)
class Result:
    """`stream_id` is None when no stream was meant, `error` empty when all went well."""

    stream_id: str | None
    error: str = ""


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
    starts = [(loop.tell(fact), fact.id) for fact in started]
    ends = []
    for fact in ended:
        target = end_target(loop.state, fact)
        ends.append((loop.tell(fact), target.id if target else None))
    return (
        [await _result(done, stream_id) for done, stream_id in starts],
        [await _result(done, stream_id) for done, stream_id in ends],
    )


async def _result(done: Future[None], stream_id: str | None) -> Result:
    try:
        await asyncio.shield(done)
    except StoreFailed as error:
        return Result(stream_id, str(error))
    return Result(stream_id, "" if stream_id is not None else "stream not found")

"""What the client tells of its streams. Done means on disk."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from acekeeper.core.facts import Fact, StreamEnded, StreamStarted
from acekeeper.core.streams import end_target
from acekeeper.errors import StoreFailed
from acekeeper.usecases.loop import Loop

_AT_ONCE = (
    200  # events of a batch that are told in one turn of the event loop, and written together
)
_UNDER_WAY = 10  # such slices that wait for the disk: memory is not to grow with the batch

_Told = tuple[Future[None], list[str | None]]  # and the streams that were meant


class Result(NamedTuple):
    """`stream_id` is None when no stream was meant, `error` empty when all went well. `kept`: it
    is on disk, whatever came of it."""

    stream_id: str | None
    error: str = ""
    kept: bool = True


def tell(loop: Loop, fact: StreamStarted | StreamEnded) -> tuple[Future[None], str | None]:
    """The stream it started or ended; None when there was none to end (that is remembered)."""
    durable, ids = _tell(loop, [fact])
    return durable, ids[0]


async def batch(
    loop: Loop, started: Sequence[StreamStarted], ended: Sequence[StreamEnded]
) -> tuple[list[Result], list[Result]]:
    told: list[StreamStarted | StreamEnded] = [*started, *ended]
    results: list[Result] = []
    under_way: deque[_Told] = deque()
    for n in range(0, len(told), _AT_ONCE):
        if len(under_way) == _UNDER_WAY:
            results += await _results(*under_way.popleft())
        under_way.append(_tell(loop, told[n : n + _AT_ONCE]))
        await asyncio.sleep(0)
    for left in under_way:
        results += await _results(*left)
    return results[: len(started)], results[len(started) :]


def _tell(loop: Loop, facts: Sequence[StreamStarted | StreamEnded]) -> _Told:
    ids: list[str | None] = []

    def each() -> Iterator[Fact]:
        for fact in facts:
            meant = fact if isinstance(fact, StreamStarted) else end_target(loop.state, fact)
            ids.append(meant.id if meant else None)
            yield fact

    return loop.tell_all(each()), ids


async def _results(done: Future[None], ids: Sequence[str | None]) -> list[Result]:
    try:
        await asyncio.shield(done)
    except StoreFailed as error:
        return [Result(stream_id, str(error), kept=False) for stream_id in ids]
    return [Result(i, "" if i is not None else "stream not found") for i in ids]

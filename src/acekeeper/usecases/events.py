"""What the client tells of its streams. Done means on disk."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from acekeeper.core.facts import Fact, StreamEnded, StreamStarted
from acekeeper.core.streams import end_target
from acekeeper.errors import StoreFailed
from acekeeper.usecases.loop import Loop

# Events of a batch that are told in one turn of the event loop, and written together.
_AT_ONCE = 200
_UNDER_WAY = 10  # such slices that wait for the disk: memory is not to grow with the batch
_MISSED = "stream not found"
Event = StreamStarted | StreamEnded


class Result(NamedTuple):
    """`stream_id` is None when no stream was meant, `error` empty when all went well. `kept`: it
    is on disk, whatever came of it."""

    stream_id: str | None
    error: str = ""
    kept: bool = True


_Told = tuple[Future[None], list[Result]]  # these, if they get to the disk


def tell(loop: Loop, fact: Event) -> tuple[Future[None], str | None]:
    """The stream it started or ended; None when there was none to end (that is remembered)."""
    durable, [result] = _tell(loop, [fact])
    return durable, result.stream_id


async def batch(loop: Loop, events: Iterator[Event | str]) -> list[Result]:
    """One result each, in order; a text says why there is no event. Each is taken from `events` in
    the turn that tells it: memory is not to grow with the batch."""
    results: list[Result] = []
    under_way: deque[_Told] = deque()
    while some := [*islice(events, _AT_ONCE)]:
        if len(under_way) == _UNDER_WAY:
            results += await _results(*under_way.popleft())
        under_way.append(_tell(loop, some))
        await asyncio.sleep(0)
    for left in under_way:
        results += await _results(*left)
    return results


def _tell(loop: Loop, events: Sequence[Event | str]) -> _Told:
    results: list[Result] = []

    def each() -> Iterator[Fact]:
        for event in events:
            if isinstance(event, str):
                results.append(Result(None, event))
                continue
            meant = event if isinstance(event, StreamStarted) else end_target(loop.state, event)
            results.append(Result(meant.id, "") if meant else Result(None, _MISSED))
            yield event

    return loop.tell_all(each()), results


async def _results(done: Future[None], results: list[Result]) -> list[Result]:
    try:
        await asyncio.shield(done)
    except StoreFailed as error:
        told = ("", _MISSED)
        return [Result(r.stream_id, str(error), False) if r.error in told else r for r in results]
    return results

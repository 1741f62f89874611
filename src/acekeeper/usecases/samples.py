"""What engines said of a stream over time: what is on disk, and what is not there yet."""

import math
from asyncio import Future
from collections import deque
from collections.abc import Sequence

from acekeeper.core.model import Sample
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.usecases.protocols import History

_MOST = 10_000  # in an answer that goes back to a moment
_MOST_UNSAVED = 100_000  # of all streams, where the disk takes none: then the oldest of them go


class Unsaved:
    """The samples that were told and are not known to be on disk, in the order of time."""

    def __init__(self) -> None:
        self._writes: deque[Sequence[tuple[str, Sample]]] = deque()
        self._by_stream: dict[str, deque[Sample]] = {}
        self._first = 0  # the number of the first of `_writes`
        self._samples = 0

    def told(self, samples: Sequence[tuple[str, Sample]], durable: Future[None]) -> None:
        """`durable` is done when these are on disk, and all before them."""
        self._writes.append(samples)
        self._samples += len(samples)
        for stream_id, sample in samples:
            self._by_stream.setdefault(stream_id, deque()).append(sample)
        number = self._first + len(self._writes)

        def done(write: Future[None]) -> None:
            if not write.cancelled() and write.exception() is None:
                self._drop_before(number)

        durable.add_done_callback(done)
        while self._samples > _MOST_UNSAVED:
            self._drop_before(self._first + 1)

    def of(self, stream_id: str) -> list[Sample]:
        return list(self._by_stream.get(stream_id, ()))

    def _drop_before(self, number: int) -> None:
        while self._writes and self._first < number:
            samples = self._writes.popleft()
            self._first += 1
            self._samples -= len(samples)
            for stream_id, _ in samples:
                of_it = self._by_stream[stream_id]
                of_it.popleft()
                if not of_it:
                    del self._by_stream[stream_id]


async def samples(
    state: State,
    rules: Rules,
    unsaved: Unsaved,
    history: History,
    stream_id: str,
    since: float | None,
) -> Sequence[Sample] | None:
    """The oldest first: since a moment of wall time (the newest 10,000), or else the newest
    `STATS_HISTORY_MAX`. None for a stream that nobody knows. Raises StoreFailed."""
    wanted = rules.stats_history_max if since is None else _MOST
    first = -math.inf if since is None else since
    stream = state.streams.get(stream_id)
    # Before the disk is read: what gets there meanwhile is found twice, and not never.
    begun = first if stream is None else max(first, stream.started.wall)
    newer = [sample for sample in unsaved.of(stream_id) if sample.at.wall >= begun]
    older = await history.samples(stream_id, first, wanted)
    if older is None and stream is None:
        return None
    twice = {sample.at.wall for sample in newer}
    found = [sample for sample in older or () if sample.at.wall not in twice]
    return [*found, *newer][-wanted:]

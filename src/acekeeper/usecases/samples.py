"""What engines said of a stream over time: what is in memory, and what is on disk before it."""

import math
from collections.abc import Sequence

from acekeeper.core.model import Rules, Sample
from acekeeper.core.state import State
from acekeeper.usecases.protocols import History

_MOST = 10_000


async def samples(
    state: State, rules: Rules, history: History, stream_id: str, since: float | None
) -> Sequence[Sample] | None:
    """The oldest first: since a moment of wall time (the newest 10,000), or else as many as are
    kept in memory. None for a stream that nobody knows."""
    kept = list(state.samples.get(stream_id, ()))
    newer = kept if since is None else [s for s in kept if s.at.wall >= since]
    if since is None:
        wanted = rules.stats_history_max
        is_all = len(kept) >= wanted
    else:
        wanted = _MOST
        is_all = bool(kept) and kept[0].at.wall <= since
    if is_all or len(newer) >= wanted:
        return newer[-wanted:]
    before = kept[0].at.wall if kept else math.inf
    older = await history.samples(
        stream_id, -math.inf if since is None else since, before, wanted - len(newer)
    )
    if older is None:  # not on disk, or not yet
        return newer if stream_id in state.streams else None
    return [*older, *newer]

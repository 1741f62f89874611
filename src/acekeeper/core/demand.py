"""How quickly free engines go, and how many have to be free for that."""

import math
from bisect import bisect_right

from acekeeper.core.model import Now, Rules
from acekeeper.core.state import State

_REMEMBERED = 100


def ready_or_coming(state: State, rules: Rules) -> int:
    """Engines a next viewer can have: free ones, and starting ones nobody claims."""
    count = len(state.vacant)
    if rules.max_streams_per_engine > 1:
        shared = (e for s in state.playing if (e := state.engines.get(s)) is not None)
        count += sum(state.is_free(e, rules) or state.is_coming(e, rules) for e in shared)
    return count


def wanted_free(state: State, rules: Rules, now: Now) -> tuple[int, float]:
    """How many engines to keep free, and until when that stands if nothing happens.

    `MIN_REPLICAS`, or as many as went lately while one start takes, if that is more: fewer would
    be gone before the next one is ready. With 0, engines start on request only.
    """
    lately = [at for at in state.taken if at + rules.rush_lasts > now.mono]
    if len(lately) <= rules.min_replicas:
        return rules.min_replicas, math.inf
    peak = max(
        nth - bisect_right(lately, at - state.typical_start) for nth, at in enumerate(lately, 1)
    )
    if peak <= rules.min_replicas:
        return rules.min_replicas, math.inf
    return peak, lately[0] + rules.rush_lasts


def taken(state: State, rules: Rules, now: Now, waiting: int = 0) -> None:
    """A viewer got an engine, or is one of so many who wait for one. Counts if one has to be
    started in its stead: viewers who come back, or go from channel to channel, take what was free
    anyway."""
    if ready_or_coming(state, rules) - waiting < wanted_free(state, rules, now)[0]:
        state.taken = (*state.taken[1 - _REMEMBERED :], now.mono)

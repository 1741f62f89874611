"""How quickly free engines go, and how many have to be free for that."""

import math
from bisect import bisect_right

from acekeeper.core import vpns
from acekeeper.core.indexes import with_room
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

_REMEMBERED = 100


def ready_or_coming(state: State, rules: Rules) -> int:
    """Engines a next viewer can have: free ones, starting ones nobody claims, and those that are
    asked once more since the tunnel of their VPN is back."""
    index = state.index
    shared = sum(len(ranks) for load, ranks in with_room(index.free, rules) if load.streams)
    starting = (state.engines[s] for s in index.starting if s in state.playing)
    coming = sum(state.is_coming(e, rules) for e in starting)
    if rules.vpns:
        coming += sum(vpns.is_back(state, rules, e) for e in state.uneasy_engines())
    return len(index.vacant) + shared + coming


def wanted_free(state: State, rules: Rules, now: Now) -> tuple[int, float]:
    """How many engines to keep free, and until when that stands if nothing happens.

    `MIN_REPLICAS`, or as many as went lately while one start takes, if that is more: fewer would
    be gone before the next one is ready. With 0, engines start on request only.
    """
    over = bisect_right(state.taken, now.mono, key=lambda at: at + rules.rush_lasts)
    lately = state.taken[over:]
    peak = rules.min_replicas
    for nth in range(peak, len(lately)):  # so many within one start are one more than before
        peak += lately[nth - peak] > lately[nth] - state.typical_start
    return peak, lately[0] + rules.rush_lasts if peak > rules.min_replicas else math.inf


def taken(state: State, rules: Rules, now: Now, waiting: int = 0) -> None:
    """A viewer got an engine, or is one of so many who wait for one. Counts if one has to be
    started in its stead: viewers who come back, or go from channel to channel, take what was free
    anyway."""
    if ready_or_coming(state, rules) - waiting < wanted_free(state, rules, now)[0]:
        state.taken = (*state.taken[1 - _REMEMBERED :], now.mono)

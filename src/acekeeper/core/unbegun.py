"""Clients that choose an engine and get nothing of it. One whose `getstream` fails sends no event:
that it asked which engines are free, and that nothing began on any, is all there is to see."""

import math
from dataclasses import replace

from acekeeper.core import playback
from acekeeper.core.doubt import Unbegun
from acekeeper.core.facts import CapacityAsked
from acekeeper.core.model import Engine, Now, Rules
from acekeeper.core.state import State


def is_news(state: State, rules: Rules, engine: Engine, now: Now) -> bool:
    """Whether a question about it tells more than those before; a client asks many at once."""
    seen = state.unbegun
    if not _may_be_chosen(state, engine):
        return False
    if seen.first is None:
        return True
    return seen.second is None and now.mono - seen.first >= rules.asks_again_after


def asked(state: State, rules: Rules, fact: CapacityAsked, now: Now) -> None:
    engine = state.current(fact.slot, fact.start)
    if engine is None or not is_news(state, rules, engine, now):
        return
    seen = state.unbegun
    if seen.first is None or now.mono - seen.first >= rules.blame_lasts:
        state.unbegun = replace(seen, first=now.mono, second=None)
    else:
        state.unbegun = replace(seen, second=now.mono)


def began(state: State) -> None:
    """A stream, on any engine of ours."""
    state.unbegun = Unbegun()


def due(state: State, rules: Rules) -> float:
    second = state.unbegun.second
    return math.inf if second is None else second + rules.begins_within


def look(state: State, rules: Rules, now: Now) -> None:
    """Doubts the engine they chose, once until a stream begins: who asks may be no viewer."""
    first = state.unbegun.first
    if first is None or now.mono < due(state, rules):
        return
    refs = {engine.ref for engine in state.engines.values()}
    doubted = state.unbegun.doubted & refs
    state.unbegun = Unbegun(doubted=doubted)
    content = playback.content_that_plays(state)
    known = (e for e in state.engines.values() if e.idle_since.mono <= first)
    free = [engine for engine in known if _may_be_chosen(state, engine)]
    if free and content is not None:
        chosen = min(free, key=_order)
        state.unbegun = Unbegun(doubted=doubted | {chosen.ref})
        playback.doubt(state, chosen, content, "nothing_began", now)


def _may_be_chosen(state: State, engine: Engine) -> bool:
    return (
        engine.listed
        and engine.claim is None
        and engine.slot not in state.playing
        and engine.ref not in state.unbegun.doubted
    )


def _order(engine: Engine) -> tuple[float, int]:
    """The client's, of engines without streams: the longest unused first."""
    return (-math.inf if engine.used is None else engine.used.mono), engine.slot.port

"""Engines that are not as one would be that started now: who they are, and which of them goes next.

Their successors come first, a few at a time, and the first of them is seen to work before any
engine goes. Nobody is sent away: what plays goes on until its viewer leaves, and an engine that was
to go is given to a viewer for whom there is no other.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from acekeeper.core import addresses, breaker, network, vpns
from acekeeper.core.actions import Turn
from acekeeper.core.build import Build, Rollout
from acekeeper.core.indexes import with_room
from acekeeper.core.model import Engine, Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

_AT_ONCE = 3
_FAILURES = 2  # starts in a row: with the next ones it may be the same

Reason = Callable[[Engine, State, Rules], bool]


def _has_another_image(engine: Engine, state: State, _: Rules) -> bool:
    return bool(state.build.fingerprint) and engine.build.image != state.build.image


def _has_another_unit(engine: Engine, state: State, _: Rules) -> bool:
    return bool(state.build.fingerprint) and engine.build.fingerprint != state.build.fingerprint


def _is_out_of_range(engine: Engine, _: State, rules: Rules) -> bool:
    """A firewall may close the ports that are not of the range."""
    return engine.slot.port not in rules.ports


# By the word for each. But for its port, all that they ask of an engine is in `Engine.made`.
REASONS: Mapping[str, Reason] = {
    "image_changed": _has_another_image,
    "unit_changed": _has_another_unit,
    "addresses_changed": addresses.is_misplaced,
    "network_changed": network.has_old_way,
    "vpn_changed": vpns.is_elsewhere,
    "forwarded_port_changed": vpns.has_old_port,
    "port_out_of_range": _is_out_of_range,
}

# In a sentence each.
STOPPED: Mapping[str, str] = {
    "starts_fail": "outdated engines are not replaced, since new ones do not get ready",
    "runtime_lacks": "outdated engines are not replaced, since no engine can start",
}


def why(engine: Engine, state: State, rules: Rules) -> str:
    """Why it is outdated; empty if it is not."""
    return next((word for word, holds in REASONS.items() if holds(engine, state, rules)), "")


def outdated(state: State, rules: Rules) -> Iterator[Engine]:
    """Not those that have no name yet."""
    if not state.listed:
        return
    for ranks in state.index.made.ranks.values():  # few
        ends = (state.engines[ranks[0][1]], state.engines[ranks[-1][1]])
        if any(why(engine, state, rules) for engine in ends):
            alike = (state.engines[slot] for _, slot in ranks)
            yield from (engine for engine in alike if why(engine, state, rules))


def is_any(state: State, rules: Rules) -> bool:
    return next(outdated(state, rules), None) is not None


def is_going(engine: Engine) -> bool:
    return engine.drain is not None and engine.drain.reason in REASONS


def is_to_go(engine: Engine, state: State, rules: Rules) -> bool:
    """Whether its drain is worth going on with."""
    return is_going(engine) and bool(why(engine, state, rules)) and not stopped(state)


def stopped(state: State) -> str:
    """What keeps successors from getting ready. Starts that failed before it began say nothing of
    them: they were made otherwise, or what was wrong has passed."""
    if state.lacks:
        return "runtime_lacks"
    last, began = state.breaker.last_failure, state.rollout.began if state.rollout else math.inf
    is_of_it = last is not None and last.mono >= began
    failed = state.breaker.opened or (is_of_it and state.breaker.failures >= _FAILURES)
    return "starts_fail" if failed else ""


def built(state: State, build: Build) -> None:
    """What failed before says nothing of starts that are made otherwise."""
    if not build.fingerprint or build == state.build:
        return
    word = "image_changed" if build.image != state.build.image else "unit_changed"
    state.build = state.changes.build = build
    close_breaker(state, word)


def close_breaker(state: State, word: str) -> None:
    before = state.breaker
    if before.failures or before.opened:
        state.put_breaker(breaker.closed(before))
        was_open = before.opened is not None
        state.tell("breaker_closed", why=word, failures=before.failures, was_open=was_open)


def turn(state: State, rules: Rules, staying: int, now: Now) -> Turn | None:
    """Where it has got to, if that is another place than before. None begins in a maintenance, in
    which no engine stays."""
    rollout = None
    may_be = state.maintenance is None or state.rollout is not None
    if may_be and is_any(state, rules):
        before = state.rollout
        began, kept = (before.began, before.kept) if before else (now.mono, staying)
        rollout = Rollout(began, kept, stopped(state))
    return None if rollout == state.rollout else Turn(rollout)


def turned(state: State, rules: Rules, rollout: Rollout | None, now: Now) -> None:
    before, state.rollout = state.rollout, rollout
    if rollout is None:
        if before is not None:
            state.tell("rollout_ended", seconds=round(now.mono - before.began, 3))
        return
    if before is None:
        engines = list(outdated(state, rules))
        reasons = sorted({why(engine, state, rules) for engine in engines})
        total = len(state.engines)
        state.tell("rollout_began", outdated=len(engines), engines=total, reasons=reasons)
    if rollout.stopped:
        state.tell("rollout_stopped", why=rollout.stopped)
    elif before is not None:
        state.tell("rollout_resumed")


def free_ones(state: State, rules: Rules) -> list[Engine]:
    """Some of the outdated ones, in the order in which they are to go: first those on which the
    fewest play."""
    if state.rollout is None or state.rollout.stopped:
        return []
    old = {engine.slot for engine in outdated(state, rules)}
    slots = (slot for slot in state.index.longest_free(rules) if slot in old)
    return [state.engines[slot] for slot in islice(slots, _AT_ONCE)]


def at_once(state: State, rules: Rules) -> int:
    """How many more may go. One that waits for its last viewer to leave holds up no other."""
    return max(0, (_AT_ONCE if is_proven(state, rules) else 1) - _vacating(state, rules))


def _vacating(state: State, rules: Rules) -> int:
    going = (e for e in state.uneasy_engines() if is_to_go(e, state, rules))
    return sum(e.slot not in state.playing for e in going)


def is_proven(state: State, rules: Rules) -> bool:
    """Whether an engine is there that is as they are to be, and outlived its first seconds."""
    return any(e.settled and e.listed for e in _successors(state, rules))


def is_on_trial(state: State, rules: Rules) -> bool:
    """Whether there is one that may be the first to prove it."""
    return any(e.stop is None and e.drain is None for e in _successors(state, rules)) or any(
        not state.engines[slot].incarnation for slot in state.index.starting
    )


def _successors(state: State, rules: Rules) -> Iterator[Engine]:
    for ranks in state.index.made.ranks.values():
        alike = (state.engines[slot] for _, slot in ranks)
        yield from (engine for engine in alike if not why(engine, state, rules))


def may_go(engine: Engine, state: State, rules: Rules, wanted: int, spare: int) -> bool:
    """Whether a free one can be done without: more are free than wanted, or there is no room for
    its successor. Then one is missing for a while, and no second one."""
    free = sum(len(ranks) for _, ranks in with_room(state.index.free, rules))
    if len(state.engines) < rules.max_replicas:
        return free > wanted and spare > 0 and is_proven(state, rules)
    is_soon_back = engine.slot not in state.playing and not _vacating(state, rules)
    return free > wanted or (free == wanted and is_soon_back)

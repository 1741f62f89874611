"""What must be done now, and when to look again."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from acekeeper.core import admission, breaker, health, playback, queue, scaling
from acekeeper.core.actions import Action, Ask, GiveWay, Look, Settle, Try
from acekeeper.core.gateway import holds
from acekeeper.core.gateway.actions import Fail, SeeReaders, Serve, StopSession
from acekeeper.core.model import Now, Rules
from acekeeper.core.state import State

# Actions that change nothing about who may have which engine.
_ASIDE = Ask | Look | Try | GiveWay | Settle | Serve | Fail | StopSession | SeeReaders
_AT_ONCE = 32  # actions of each kind of step; what is left is planned anew after them


class Plan(NamedTuple):
    """`deadline` on the monotonic clock: when the plan may change though nothing happens."""

    actions: tuple[Action, ...]
    deadline: float


def plan(state: State, rules: Rules, now: Now) -> Plan:
    """Asked again after its actions were taken, until it has none. Each time it has a bounded
    number, so that nothing else waits for long."""
    actions: list[Action] = []
    deadline = math.inf
    for steps in (_upkeep, queue.give, scaling.scale):
        decisive: list[Action] = []
        aside: list[Action] = []
        for step in steps(state, rules, now):
            if isinstance(step, float | int):
                deadline = min(deadline, step)
            else:
                (aside if isinstance(step, _ASIDE) else decisive).append(step)
            if len(decisive) == _AT_ONCE:
                break
        actions += [*decisive, *aside][:_AT_ONCE]
        if decisive:
            break  # what these change (an engine stops, a place is taken) the next ones must see
    return Plan(tuple(actions), deadline)


def _upkeep(state: State, rules: Rules, now: Now) -> Iterator[Action | float]:
    half_open = breaker.half_open_at(state.breaker, rules)
    if half_open > now.mono:
        yield half_open
    yield from admission.lapses(state)
    if state.connected and state.listed:
        yield from health.asks(state, rules, now)
        yield from playback.tries(state, rules, now)
        yield from holds.stops(state, rules, now)
        yield from scaling.drains(state, rules, now)
        yield from scaling.stop_retries(state, now)
        yield from health.replacements(state, rules, now)

"""What must be done now, and when to look again."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from acekeeper.core import admission, breaker, health, scaling
from acekeeper.core.actions import Action
from acekeeper.core.model import Now, Rules, State


class Plan(NamedTuple):
    """`deadline` on the monotonic clock: when the plan may change though nothing happens."""

    actions: tuple[Action, ...]
    deadline: float


def plan(state: State, rules: Rules, now: Now) -> Plan:
    """Asked again after its actions were taken, until it has none."""
    actions: list[Action] = []
    deadline = math.inf
    for step in _steps(state, rules, now):
        if isinstance(step, float | int):
            deadline = min(deadline, step)
        else:
            actions.append(step)
    return Plan(tuple(actions), deadline)


def _steps(state: State, rules: Rules, now: Now) -> Iterator[Action | float]:
    half_open = breaker.half_open_at(state.breaker, rules)
    if half_open > now.mono:
        yield half_open
    yield from admission.lapses(state)
    if state.connected and state.listed:
        yield from health.asks(state, rules, now)
        yield from scaling.drains(state, rules, now)
        yield from scaling.stop_retries(state, now)
        yield from health.replacements(state, rules, now)
    starts = 0
    for step in admission.requests(state, rules, now):
        starts += not isinstance(step, float)
        yield step
    if not starts:  # requests go first: scaling sees what they left
        yield from scaling.scale(state, rules, now)

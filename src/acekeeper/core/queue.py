"""Everybody who waits for an engine, the oldest first: what one gets is not there for the next."""

import math
from collections.abc import Iterator
from itertools import chain, islice

from acekeeper.core import admission
from acekeeper.core.actions import Action, Answer, Grant, Refuse, Start
from acekeeper.core.gateway import choice, readers
from acekeeper.core.gateway.actions import Open, SeeReaders, Serve, Supersede
from acekeeper.core.gateway.hosts import Hosts
from acekeeper.core.gateway.model import Play
from acekeeper.core.model import Now, Request
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import Supply, rested_at, resting


def give(state: State, rules: Rules, now: Now) -> Iterator[Action | float]:
    """One look is enough, and no session is given to a player that ends for another one."""
    looks = state.seeing
    served, ending = set[str](), set[str]()
    for step in chain(_turns(state, rules, now), readers.replaced(state, rules, now)):
        if isinstance(step, SeeReaders):
            if looks:
                continue
            looks = True
        elif isinstance(step, Serve):
            if step.stream in ending:
                continue
            served.add(step.stream)
        elif isinstance(step, Supersede):
            if step.stream in served:
                yield now.mono  # it is looked at again after that
                continue
            ending.add(step.stream)
        yield step


def _turns(state: State, rules: Rules, now: Now) -> Iterator[Action | float]:
    requests = (request for request in state.requests.values() if not request.answered)
    everybody: list[Request | Play] = [*requests, *state.plays.values()]
    if not everybody:
        return
    supply = Supply(state, rules, now)
    means = choice.Means(supply, readers.Unread(state, rules, now), Hosts(state, rules, now))
    behind = choice.behind(state)
    waits, given, until = False, False, math.inf
    for waiting in sorted(everybody, key=lambda who: who.received.mono):
        if isinstance(waiting, Play):
            if choice.waits_on(state, means, waiting, now):
                until = min(until, waiting.until)
                continue
            shares = waiting.id in behind
            steps = choice.steps(state, rules, means, waiting, is_behind=shares, now=now)
        else:
            steps = admission.steps(state, rules, supply, waiting, now)
        for step in steps:
            if isinstance(step, Refuse) and given:
                return  # what it is told depends on what was given to those before it
            yield step
            given = given or isinstance(step, Grant | Start | Answer | Open | Supersede)
            waits = waits or isinstance(step, float)
    yield until
    yield from choice.hedges(state, rules, supply, now)
    if waits:
        free = (e for e in resting(state, rules, now) if state.is_free(e, rules))
        yield from (rested_at(engine, rules) for engine in islice(free, 1))

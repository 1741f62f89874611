"""What must be done now, and when to look again."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from acekeeper.core import (
    admission,
    breaker,
    health,
    maintenance,
    network,
    playback,
    queue,
    scaling,
    vpns,
)
from acekeeper.core.actions import Action, Ask, AskStreams, Check, GiveWay, Settle, Try
from acekeeper.core.changes import Changes
from acekeeper.core.facts import Fact, StreamsAsked, VpnFact
from acekeeper.core.fleet import members
from acekeeper.core.fleet.actions import Drop, Sync
from acekeeper.core.fleet.facts import FleetFact
from acekeeper.core.gateway import choice, holds
from acekeeper.core.gateway.actions import Fail, SeeReaders, SendThere, Serve, StopSession
from acekeeper.core.gateway.facts import ReaderCame, SessionRead
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

# Actions that change nothing about who may have which engine.
_ASIDE = frozenset(
    {Ask, AskStreams, Check, Try, GiveWay, Settle, Serve, Fail, StopSession, SeeReaders}
    | {SendThere, Sync, Drop}
)
# What comes of these is told later.
_ASKING = Ask | AskStreams | Check | StopSession | SeeReaders | Sync | Drop
_AT_ONCE = 32  # actions of each kind of step; what is left is planned anew after them


class Plan(NamedTuple):
    """`deadline` on the monotonic clock: when the plan may change though nothing happens.
    `is_last`: once its actions are taken there is nothing more to do until then."""

    actions: tuple[Action, ...]
    deadline: float
    is_last: bool = True


def plan(state: State, rules: Rules, now: Now) -> Plan:
    """Asked again after its actions were taken, until it is the last. Each has a bounded number,
    so that nothing else waits for long."""
    actions: list[Action] = []
    deadline = math.inf
    is_all = True
    for steps in (_upkeep, queue.give, scaling.scale):
        decisive: list[Action] = []
        aside: list[Action] = []
        for step in steps(state, rules, now):
            if isinstance(step, (float, int)):
                deadline = min(deadline, step)
            else:
                (aside if type(step) in _ASIDE else decisive).append(step)
            if len(decisive) == _AT_ONCE:
                break
        actions += [*decisive, *aside][:_AT_ONCE]
        is_all = is_all and not decisive and len(aside) <= _AT_ONCE
        if decisive:
            break  # what these change (an engine stops, a place is taken) the next ones must see
    return Plan(tuple(actions), deadline, is_all and _are_last(state, actions))


def may_change(fact: Fact, changes: Changes) -> bool:
    """Whether a plan may want something else, or sooner, after a fact: not for samples that leave
    engines and streams as they are, nor for a sign that a session is read, nor for what is told of
    a VPN or of another host again and again."""
    is_sign = isinstance(fact, StreamsAsked | SessionRead | ReaderCame | VpnFact | FleetFact)
    changed = changes.engines or changes.streams or changes.vpns or changes.fleet
    return not is_sign or bool(changed)


def _are_last(state: State, actions: Sequence[Action]) -> bool:
    """Whether nothing more is to be done once they are taken. Others may have waited behind a
    player that gets its session. One that is moved leaves a session, hosts that were asked for one
    are told, and engines that are late for one no longer count against the host."""
    if not all(isinstance(action, _ASKING | Serve) for action in actions):
        return False
    given = [state.plays[action.request] for action in actions if isinstance(action, Serve)]
    leave = any(p.instead_of or p.attempts or p.asked for p in given)
    return not (leave or (given and choice.behind(state)))


def _upkeep(state: State, rules: Rules, now: Now) -> Iterator[Action | float]:
    half_open = breaker.half_open_at(state.breaker, rules)
    if half_open > now.mono:
        yield half_open
    if state.lacks and state.connected and not state.looking:
        due = state.looked.mono + rules.look_again if state.looked else now.mono
        yield Check() if now.mono >= due else due
    yield from network.waits(state, now)
    yield from vpns.trusts(state, rules, now)
    yield from members.steps(state, rules, now)
    uneasy = [*state.uneasy_engines()]
    yield from admission.lapses(uneasy)
    yield from maintenance.steps(state, uneasy)
    if state.connected and state.listed:
        yield from vpns.outside(state, rules)
        yield from health.asks(state, rules, uneasy, now)
        yield from playback.tries(state, rules, uneasy, now)
        yield from holds.stops(state, rules, now)
        yield from scaling.drains(state, rules, uneasy, now)
        yield from scaling.stop_retries(uneasy, now)
        yield from health.replacements(state, rules, uneasy, now)

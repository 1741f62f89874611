"""How many engines are kept ready, and how one is taken away without hurting anybody."""

import math
from collections.abc import Iterator
from dataclasses import replace

from acekeeper.core import admission, demand
from acekeeper.core.actions import Drain, Look, Refusal, Start, Stop
from acekeeper.core.allocation import next_slot
from acekeeper.core.facts import StreamsAsked
from acekeeper.core.health import UNHEALTHY, drain_of
from acekeeper.core.lifecycle import START_TIMEOUT
from acekeeper.core.model import Drain as Draining
from acekeeper.core.model import Engine, Health, Now, Phase, Rules
from acekeeper.core.state import State

SCALE_DOWN = "scale_down"


def staying(state: State) -> int:
    """Engines in all, but for those that are to go."""
    return sum(e.phase is not Phase.STOPPING and e.drain is None for e in state.engines.values())


def scale(state: State, rules: Rules, now: Now) -> Iterator[Start | Drain | float]:
    """One step up or down. Nothing is scaled before every engine was asked once."""
    if not (state.connected and state.surveyed):
        return
    wanted, until = demand.wanted_free(state, rules, now)
    yield until
    spare = min(demand.ready_or_coming(state, rules) - wanted, staying(state) - state.at_least)
    if spare < 0:
        verdict = admission.may_start(state, rules, now)
        slot = next_slot(state, rules, now)
        if isinstance(verdict, float):
            yield verdict
        elif not isinstance(verdict, Refusal) and slot is not None:
            yield Start(slot)
    elif spare > 0 and rules.auto_delete:
        yield from _scale_down(state, rules, wanted, now)


def _scale_down(state: State, rules: Rules, wanted: int, now: Now) -> Iterator[Drain | float]:
    """The engine that has been idle longest goes, once more than `wanted` have been free for the
    grace: if it were judged by itself, one would go whenever a viewer leaves and the next viewer
    would have it started again. One at a time, since viewers leave in clusters and come back."""
    free = sorted(
        (
            max(e.idle_since.mono + rules.engine_grace_period, admission.rested_at(e, rules)),
            e.slot,
            e,
        )
        for e in state.engines.values()
        if state.is_free(e, rules)
    )
    idle = [engine for _, _, engine in free if engine.slot not in state.playing]
    if idle and len(free) > wanted:
        going = (
            e.drain.since.mono + rules.drain_wait
            for e in state.engines.values()
            if e.drain and e.drain.reason == SCALE_DOWN
        )
        due = max([free[wanted][0], *going])
        yield drain_of(idle[0], SCALE_DOWN) if now.mono >= due else due


def drain(state: State, action: Drain, now: Now) -> None:
    engine = state.current(action.slot, action.start)
    if engine is None or engine.drain is not None:
        return
    if action.reason == UNHEALTHY:
        state.replaced = (*state.replaced[-len(state.engines) :], now)  # more never count
    state.put(
        replace(
            engine,
            drain=Draining(action.reason, now),
            unlisted=engine.unlisted or now,
            claim=engine.claim if engine.claim and engine.claim.until else None,
        )
    )
    admission.turn_away(state, engine.slot)
    state.tell("engine_draining", engine.slot, reason=action.reason)


def drains(state: State, rules: Rules, now: Now) -> Iterator[Stop | Look | float]:
    """Stops a drained engine once nobody can still choose it and nothing on it moves."""
    for engine in state.engines.values():
        if engine.phase is Phase.STOPPING or not engine.start:
            continue
        if engine.phase is Phase.STARTING:
            grace_ends, ran_out = _grace_ends(engine, rules)
            if now.mono < grace_ends:
                yield grace_ends
            elif engine.answered and engine.answered.mono >= grace_ends:
                yield Stop(engine.slot, engine.start, START_TIMEOUT, f"not ready within {ran_out}")
                continue
        if engine.drain is None:
            continue
        due = (engine.unlisted or engine.drain.since).mono + rules.drain_wait
        looked = engine.drain.looked.mono if engine.drain.looked else -math.inf
        if now.mono < due:
            yield due
        elif engine.claim is not None:
            continue  # its lapse is a deadline of its own
        elif engine.slot not in state.playing or (engine.drain.idle and looked >= due):
            yield Stop(engine.slot, engine.start, engine.drain.reason)
        elif not engine.looking:
            again = max(due, looked + rules.drain_look_again)
            yield Look(engine.slot, engine.start) if now.mono >= again else again


def _grace_ends(engine: Engine, rules: Rules) -> tuple[float, str]:
    """And what ran out then. One more probe is due: it may be ready, and we were not there to
    ask."""
    grace, all_in_all = rules.startup_grace, rules.provision_timeout
    return min(
        (
            (engine.started or engine.asked).mono + grace,
            f"the {grace:g} s of PROVISION_STARTUP_GRACE_S",
        ),
        (engine.asked.mono + all_in_all, f"the {all_in_all:g} s of PROVISION_TIMEOUT_S"),
    )


def looked(state: State, fact: StreamsAsked, now: Now) -> None:
    """A draining engine is idle when no stream moves, or when it is too ill to tell. One look
    cannot tell for a stream that is still buffering; two can."""
    engine = state.current(fact.slot, fact.start)
    if engine is None or engine.drain is None:
        return
    ids = [i for i in state.playing.get(engine.slot, ()) if i not in fact.unknown]
    told = {i: fact.samples[i] for i in ids if i in fact.samples}
    before = {i: state.samples.get(i) for i in told}
    moving = any(before[i] is None or s.moved_since(before[i]) for i, s in told.items())
    hopeless = engine.health is Health.UNHEALTHY
    idle = not moving and (hopeless or len(told) == len(ids))
    state.put(replace(engine, looking=False, drain=replace(engine.drain, looked=now, idle=idle)))


def stop_retries(state: State, now: Now) -> Iterator[Stop | float]:
    for engine in state.engines.values():
        if engine.phase is Phase.STOPPING and engine.stop_retry is not None:
            due = engine.stop_retry.mono
            again = Stop(engine.slot, engine.start, engine.stop_reason)
            yield again if now.mono >= due else due

"""Engines come and go: started, found, dead."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from acekeeper.core import admission, breaker, demand, streams
from acekeeper.core.actions import Start, Stop
from acekeeper.core.facts import (
    EngineDied,
    EngineIdentified,
    EnginesListed,
    EngineStarted,
    EngineStartFailed,
    EngineStopFailed,
    Found,
    RuntimeChecked,
    RuntimeConnected,
    RuntimeLost,
)
from acekeeper.core.model import Claim, Engine, Health, Now, Phase, Rules
from acekeeper.core.names import Slot
from acekeeper.core.state import State

REBOOTED = "host_rebooted"
START_TIMEOUT = "start_timeout"
_AT_ONCE = 100  # engines and streams of a list that change together


def runtime_told(state: State, fact: RuntimeConnected | RuntimeLost | RuntimeChecked) -> None:
    match fact:
        case RuntimeConnected():
            if not state.connected:
                state.connected = True
                state.tell("runtime_connected")
        case RuntimeLost(why):
            if state.connected:
                state.connected = False
                state.tell("runtime_lost", why=why)
        case RuntimeChecked(lacks):
            if lacks != state.lacks:
                state.lacks = lacks
                state.tell("runtime_lacks" if lacks else "runtime_complete", why=lacks or None)


def start(state: State, rules: Rules, action: Start, now: Now) -> None:
    request = state.requests[action.request] if action.request else None
    if request is not None:
        state.requests[request.id] = replace(request, slot=action.slot)
    state.last_start = now
    state.put(
        Engine(
            slot=action.slot,
            asked=now,
            labels=request.labels if request else {},
            claim=Claim(request.id) if request else None,
        )
    )
    if request is not None:
        demand.taken(state, rules, now)
    state.tell("engine_starting", action.slot, request=action.request)


def engine_started(state: State, fact: EngineStarted, now: Now) -> None:
    engine = state.engines.get(fact.slot)
    if engine is None or engine.start:
        return
    state.put(replace(engine, start=fact.start, container_id=fact.container_id, started=now))


def engine_identified(state: State, fact: EngineIdentified) -> None:
    engine = state.current(fact.slot, fact.start)
    if engine is not None and not engine.container_id:
        state.put(replace(engine, container_id=fact.container_id))


def start_failed(state: State, rules: Rules, fact: EngineStartFailed, now: Now) -> None:
    engine = state.engines.get(fact.slot)
    if engine is None or engine.start:
        return
    if not fact.excused:
        state.put_breaker(breaker.failed(state.breaker, rules, now))
    state.tell(
        "engine_start_failed",
        engine.slot,
        request=engine.claim.request if engine.claim else None,
        cause=fact.cause or None,
        why=fact.why,
        excused=fact.excused,
        seconds=round(now.mono - engine.asked.mono, 3),
    )
    _gone(state, engine, now)


def engine_died(state: State, rules: Rules, fact: EngineDied, now: Now) -> None:
    engine = state.current(fact.slot, fact.start)
    if engine is None or not fact.start:
        if fact.slot not in state.engines:
            state.vacated[fact.slot] = now  # a list may be under way that still has it
        return
    wanted = engine.phase is Phase.STOPPING
    early = engine.ready is None or now.mono - engine.ready.mono < rules.early_death
    early = early and fact.cause != REBOOTED  # the engine is not to blame
    if early and not wanted:
        state.put_breaker(breaker.failed(state.breaker, rules, now))
    reason = f"engine_stopped:{engine.stop_reason}" if wanted else f"engine_died:{fact.cause}"
    streams.end_all(state, engine, reason, now)
    state.tell(
        "engine_stopped" if wanted else "engine_died",
        engine.slot,
        cause=engine.stop_reason if wanted else fact.cause,
        detail=fact.detail,
        early=early and not wanted,
        starting=early and not wanted and engine.ready is None,
        seconds=round(now.mono - engine.asked.mono, 3),
        noticed_after=None if fact.at is None else round(max(0.0, now.mono - fact.at), 6),
    )
    _gone(state, state.engines[fact.slot], now)


def _gone(state: State, engine: Engine, now: Now) -> None:
    state.remove(engine, now)
    admission.turn_away(state, engine.slot)


def stop(state: State, rules: Rules, action: Stop, now: Now) -> None:
    engine = state.current(action.slot, action.start)
    if engine is None:
        return
    if action.reason == START_TIMEOUT and engine.phase is Phase.STARTING:
        state.put_breaker(breaker.failed(state.breaker, rules, now))
        state.tell(
            "engine_start_failed",
            engine.slot,
            request=engine.claim.request if engine.claim else None,
            cause=action.reason,
            why=action.why or action.reason,
            excused=False,
            seconds=round(now.mono - engine.asked.mono, 3),
        )
    state.put(
        replace(
            engine, phase=Phase.STOPPING, stop_reason=action.reason, stop_retry=None, claim=None
        )
    )
    admission.turn_away(state, engine.slot)
    state.tell("engine_stopping", engine.slot, reason=action.reason)


def stop_failed(state: State, rules: Rules, fact: EngineStopFailed, now: Now) -> None:
    engine = state.current(fact.slot, fact.start)
    if engine is not None and engine.phase is Phase.STOPPING:
        state.put(replace(engine, stop_retry=now.after(rules.stop_retry)))
        state.tell("engine_stop_failed", engine.slot, why=fact.why)


def engines_listed(state: State, rules: Rules, fact: EnginesListed, now: Now) -> None:
    """Makes the state say what the runtime says. An engine that is not in the list is gone,
    unless it is younger than the list."""
    rebooted = bool(state.boot) and state.boot != fact.boot
    found = {f.slot: f for f in fact.found}
    for slot in _differing(state, fact):
        engine, there, vacated = state.engines.get(slot), found.get(slot), state.vacated.get(slot)
        if engine is not None and _is_gone(engine, there, fact):
            cause = REBOOTED if rebooted else "vanished"
            engine_died(state, rules, EngineDied(*engine.ref, cause), now)
        for stream in list(state.started_on(slot)):
            if state.current(slot, stream.start) is None:
                streams.end_stream(state, stream, "engine_died:vanished", now)
        died_since = vacated is not None and vacated.mono > fact.asked.mono
        if there is not None and slot not in state.engines and not died_since:
            _adopt(state, slot, there, now)
            streams.claim_unmapped(state, rules, state.engines[slot])
    if fact.slots is not None:
        return
    state.listed = True
    if state.boot != fact.boot:
        state.boot = state.changes.boot = fact.boot


def parts(state: State, rules: Rules, listing: EnginesListed) -> Iterator[EnginesListed]:
    """A list as facts that change a little each, and at last all of it; each is made when it is
    asked for. Only the last one says that there is no more."""
    found = {f.slot: f for f in listing.found}
    slots: list[Slot] = []
    changes = 0
    for slot in _differing(state, listing):
        slots.append(slot)
        changes += 1 + len(state.playing.get(slot, ())) + len(streams.unmapped(state, rules, slot))
        if changes >= _AT_ONCE:
            there = tuple(found[slot] for slot in slots if slot in found)
            yield replace(listing, found=there, slots=tuple(slots))
            slots, changes = [], 0
    yield listing


def _differing(state: State, fact: EnginesListed) -> list[Slot]:
    """Where the list and what we know are not the same."""
    starts = {f.slot: f.start for f in fact.found}
    known = {slot: engine.start for slot, engine in state.engines.items()}
    slots = dict.fromkeys(chain(known, state.playing, starts)) if fact.slots is None else fact.slots
    return [
        slot
        for slot in slots
        if known.get(slot) != starts.get(slot)
        or any(state.streams[i].start != known.get(slot) for i in state.playing.get(slot, ()))
    ]


def _is_gone(engine: Engine, there: Found | None, fact: EnginesListed) -> bool:
    return (
        engine.slot.host == fact.host
        and bool(engine.start)
        and (there is None or there.start != engine.start)
        and (engine.started or engine.asked).mono <= fact.asked.mono
    )


def _adopt(state: State, slot: Slot, found: Found, now: Now) -> None:
    """Nothing is known of it: it counts as starting until it answers, and anyone may have it."""
    state.put(
        Engine(
            slot=slot,
            asked=now,
            start=found.start,
            container_id=found.container_id,
            phase=Phase.STOPPING if found.dying else Phase.STARTING,
            health=Health.UNKNOWN,
        )
    )
    state.tell("engine_adopted", slot, start=found.start)

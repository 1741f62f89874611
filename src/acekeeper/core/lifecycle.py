"""Engines come and go: started, found, dead."""

from collections.abc import Iterator
from itertools import chain

from msgspec.structs import replace

from acekeeper.core import (
    addresses,
    admission,
    breaker,
    demand,
    rollout,
    streams,
    succession,
    vpns,
)
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
    SourceAsked,
)
from acekeeper.core.model import Engine, Now, Phase, Stopping
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

REBOOTED = "host_rebooted"
VANISHED = "vanished"
STOPPED = "stopped"  # by somebody's hand, not by us
_FIRST_PAUSE, _DOUBLED = 0.1, 10
# Ends that say nothing of starts: they were meant, or nobody saw them.
_NO_FAILURES = frozenset({REBOOTED, VANISHED, STOPPED, vpns.VPN})
START_TIMEOUT = "start_timeout"
_AT_ONCE = 100  # engines and streams of a list that change together


def runtime_told(
    state: State,
    rules: Rules,
    fact: RuntimeConnected | RuntimeLost | RuntimeChecked | SourceAsked,
    now: Now,
) -> None:
    match fact:
        case RuntimeConnected():
            if not state.connected:
                state.connected = True
                state.tell("runtime_connected")
        case RuntimeLost(why):
            if state.connected:
                state.connected = False
                state.tell("runtime_lost", why=why)
        case RuntimeChecked(lacks, there):
            addresses.told(state, rules, there)
            state.looking, state.looked = False, now
            if lacks != state.lacks:
                state.lacks = lacks
                state.tell("runtime_lacks" if lacks else "runtime_complete", why=lacks or None)
                if not lacks:
                    rollout.close_breaker(state, "runtime_complete")
        case SourceAsked(source, trouble):
            source_asked(state, source, trouble)


def source_asked(state: State, source: str, trouble: str = "") -> None:
    if trouble != state.silent.get(source, ""):
        if trouble:
            state.silent[source] = trouble
            state.tell("source_silent", source=source, why=trouble)
        else:
            del state.silent[source]
            state.tell("source_answers", source=source)


def start(state: State, rules: Rules, action: Start, now: Now) -> None:
    request = state.requests[action.request] if action.request else None
    if request is not None:
        state.requests[request.id] = replace(request, slot=action.slot)
    state.last_start = now
    state.put(
        Engine(
            slot=action.slot,
            created=now,
            labels=request.labels if request else {},
            claim=request.id if request else None,
            behind=vpns.to_be_given(state, rules, action.slot),
        )
    )
    if request is not None:
        demand.taken(state, rules, now)
    is_other = request is not None or action.instead
    replaces = None if is_other else succession.replaced(state, now)
    state.tell(
        "engine_starting",
        action.slot,
        request=action.request,
        replaces=replaces.container_name if replaces else None,
    )


def engine_started(state: State, rules: Rules, fact: EngineStarted, now: Now) -> None:
    engine = state.engines.get(fact.slot)
    if engine is None or engine.incarnation:
        return
    state.excused = 0
    state.put(
        replace(
            engine,
            incarnation=fact.incarnation,
            container_id=fact.container_id,
            addresses=fact.addresses,
            build=fact.build,
            way_out=fact.way_out,
            started=now,
        )
    )
    streams.claim_unmapped(state, rules, fact.slot, now)


def engine_identified(state: State, rules: Rules, fact: EngineIdentified, now: Now) -> None:
    """So are the streams that began on it before."""
    engine = state.current(fact.slot, fact.incarnation)
    if engine is None or engine.container_id or not fact.container_id:
        return
    state.put(replace(engine, container_id=fact.container_id))
    for stream in list(state.started_on(engine.slot)):
        if stream.incarnation == engine.incarnation:
            state.put_stream(replace(stream, container_id=fact.container_id))
    streams.claim_unmapped(state, rules, fact.slot, now)


def start_failed(state: State, rules: Rules, fact: EngineStartFailed, now: Now) -> None:
    engine = state.engines.get(fact.slot)
    if engine is None or engine.incarnation:
        return
    excused = fact.excused or fact.cause in (STOPPED, vpns.VPN) or state.is_cut_off(engine)
    if excused:  # no breaker stands in the way of the next one, which may fail as soon
        pause = _FIRST_PAUSE * 2.0 ** min(state.excused, _DOUBLED)
        state.excused += 1
        state.starts_from = now.mono + min(pause, rules.start_retry)
    _start_failed(state, rules, engine, fact.cause, fact.why, excused, now)
    if engine.claim is None:  # whoever asked for it is answered, and not by a successor
        succession.lost(state, engine, now)
    _gone(state, engine, now)


def _start_failed(
    state: State, rules: Rules, engine: Engine, cause: str, why: str, excused: bool, now: Now
) -> None:
    if not excused:
        state.put_breaker(breaker.failed(state.breaker, rules, now))
    state.tell(
        "engine_start_failed",
        engine.slot,
        request=engine.claim,
        cause=cause or None,
        why=why,
        excused=excused,
        seconds=round(now.mono - engine.created.mono, 3),
    )


def engine_died(state: State, rules: Rules, fact: EngineDied, now: Now) -> None:
    engine = state.current(fact.slot, fact.incarnation)
    if engine is None or not fact.incarnation:
        if fact.slot not in state.engines:
            state.vacated[fact.slot] = now  # a list may be under way that still has it
        return
    wanted = engine.stop is not None
    is_of_vpn = _went_with_its_vpn(state, engine)
    cause = engine.stop.reason if engine.stop else vpns.VPN if is_of_vpn else fact.cause
    meant = wanted or cause == STOPPED
    early = engine.ready is None or now.mono - engine.ready.mono < rules.early_death
    early = early and cause not in _NO_FAILURES and not state.is_cut_off(engine)
    if early and not wanted:
        state.put_breaker(breaker.failed(state.breaker, rules, now))
    reason = f"engine_stopped:{cause}" if meant else f"engine_died:{cause}"
    streams.end_all(state, engine, reason, now)
    state.tell(
        "engine_stopped" if meant else "engine_died",
        engine.slot,
        cause=cause,
        detail=fact.detail or None,
        early=early and not wanted,
        starting=early and not wanted and engine.ready is None,
        seconds=round(now.mono - engine.created.mono, 3),
        noticed_after=None if fact.at is None else round(max(0.0, now.mono - fact.at), 6),
    )
    if not meant and fact.cause != REBOOTED:
        succession.lost(state, engine, now)
    _gone(state, state.engines[fact.slot], now)


def _went_with_its_vpn(state: State, engine: Engine) -> bool:
    """Its VPN's unit ended first: the end of an engine is no fault of its own then."""
    behind = engine.behind
    vpn = state.vpns.get(behind.vpn) if behind else None
    return behind is not None and vpn is not None and vpn.incarnation != behind.start


def _gone(state: State, engine: Engine, now: Now) -> None:
    state.remove(engine, now)
    admission.turn_away(state, engine)


def stop(state: State, rules: Rules, action: Stop, now: Now) -> None:
    engine = state.current(action.slot, action.incarnation)
    if engine is None:
        return
    if action.reason == START_TIMEOUT and engine.phase is Phase.STARTING:
        why = action.why or action.reason
        excused = state.is_cut_off(engine)
        _start_failed(state, rules, engine, action.reason, why, excused=excused, now=now)
    state.put(replace(engine, stop=Stopping(action.reason), claim=None))
    admission.turn_away(state, engine)
    state.tell("engine_stopping", engine.slot, reason=action.reason)


def stop_failed(state: State, rules: Rules, fact: EngineStopFailed, now: Now) -> None:
    engine = state.current(fact.slot, fact.incarnation)
    if engine is not None and engine.stop is not None:
        again = replace(engine.stop, retry=now.after(rules.stop_retry))
        state.put(replace(engine, stop=again))
        state.tell("engine_stop_failed", engine.slot, why=fact.why)


def engines_listed(state: State, rules: Rules, fact: EnginesListed, now: Now) -> None:
    """Makes the state say what the runtime says. An engine that is not in the list is gone,
    unless it is younger than the list."""
    found = {f.slot: f for f in fact.found}
    changed = _differing(state, fact)
    for slot in changed:
        engine, there, vacated = state.engines.get(slot), found.get(slot), state.vacated.get(slot)
        if engine is not None and there is not None and there.incarnation == engine.incarnation:
            state.put(replace(engine, build=there.build))
            known = EngineIdentified(*engine.ref, there.container_id)
            engine_identified(state, rules, known, now)
        elif engine is not None and _is_gone(engine, fact):
            cause = _cause(state, fact, engine.incarnation)
            engine_died(state, rules, EngineDied(*engine.ref, cause), now)
        for stream in list(state.started_on(slot)):
            if state.current(slot, stream.incarnation) is None:
                cause = _cause(state, fact, stream.incarnation)
                kind = "engine_stopped" if cause == STOPPED else "engine_died"
                streams.end_stream(state, stream, f"{kind}:{cause}", now)
        died_since = vacated is not None and vacated.mono > fact.as_of.mono
        if there is not None and slot not in state.engines and not died_since:
            _adopt(state, slot, there, now)
    for slot in changed:  # now that all of these are known: an event names the likeliest first
        if slot in state.engines:
            streams.claim_unmapped(state, rules, slot, now)
    if fact.slots is not None:
        return
    state.listed = True
    rollout.built(state, fact.build)
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
        there = found.get(slot)
        waiting = streams.unmapped(state, rules, slot, there.container_id if there else "")
        changes += 1 + len(state.playing.get(slot, ())) + len(waiting)
        if changes >= _AT_ONCE:
            part = tuple(found[slot] for slot in slots if slot in found)
            yield replace(listing, found=part, slots=tuple(slots))
            slots, changes = [], 0
    yield listing


def _differing(state: State, fact: EnginesListed) -> list[Slot]:
    """Where the list and what we know are not the same."""
    found = {f.slot: f for f in fact.found}
    known = chain(state.engines, state.playing, found)
    slots = dict.fromkeys(known) if fact.slots is None else fact.slots
    return [slot for slot in slots if _differs(state, slot, found.get(slot))]


def _differs(state: State, slot: Slot, there: Found | None) -> bool:
    engine = state.engines.get(slot)
    incarnation = engine.incarnation if engine else None
    if incarnation != (there.incarnation if there else None):
        return True
    if engine is not None and there is not None:
        known = engine.container_id, engine.build
        if known != (there.container_id, there.build):
            return True
    return any(stream.incarnation != incarnation for stream in state.started_on(slot))


def _is_gone(engine: Engine, fact: EnginesListed) -> bool:
    """Unless it is younger than the list."""
    return (
        engine.slot.host == fact.host
        and bool(engine.incarnation)
        and (engine.started or engine.created).mono <= fact.as_of.mono
    )


def _cause(state: State, fact: EnginesListed, incarnation: str) -> str:
    """Why a start is not in the list."""
    if state.boot and state.boot != fact.boot:
        return REBOOTED
    return STOPPED if incarnation in fact.stopped else VANISHED


def rebooted(state: State, rules: Rules, boot: str, now: Now) -> None:
    """Whatever ran in the boot before is gone, and nothing is to blame."""
    for engine in list(state.engines.values()):
        engine_died(state, rules, EngineDied(*engine.ref, REBOOTED), now)
    for stream in [state.streams[i] for ids in state.playing.values() for i in ids]:
        streams.end_stream(state, stream, f"engine_died:{REBOOTED}", now)
    state.boot = state.changes.boot = boot


def _adopt(state: State, slot: Slot, found: Found, now: Now) -> None:
    """Nothing is known of it: it counts as starting until it answers, and anyone may have it."""
    state.put(
        Engine(
            slot=slot,
            created=now,
            incarnation=found.incarnation,
            container_id=found.container_id,
            addresses=found.addresses,
            build=found.build,
            way_out=found.way_out,
            behind=found.behind,
            stop=Stopping("") if found.dying else None,
        )
    )
    state.tell("engine_adopted", slot, start=found.incarnation)

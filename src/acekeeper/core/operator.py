"""What an operator asks for by hand. The plan does it."""

from typing import assert_never

from msgspec.structs import replace

from acekeeper.core import admission, breaker, maintenance, scaling, streams
from acekeeper.core.actions import Drain
from acekeeper.core.facts import (
    BreakerReset,
    DrainRequested,
    MaintenanceOver,
    MaintenanceRequested,
    OperatorAsked,
    ScaleRequested,
    StopRequested,
    StreamStopped,
)
from acekeeper.core.model import Engine, Now, Phase, Stopping
from acekeeper.core.state import State

OPERATOR = "operator"
STOPPED_BY_OPERATOR = "stopped_by_operator"


def told(state: State, fact: OperatorAsked, now: Now) -> None:
    match fact:
        case DrainRequested(slot, incarnation):
            engine = state.current(slot, incarnation)
            if engine is not None and engine.phase is not Phase.STOPPING:
                _drain(state, engine, now)
        case StopRequested(slot, incarnation):
            engine = state.current(slot, incarnation)
            if engine is not None and engine.phase is not Phase.STOPPING:
                _stop(state, engine, now)
        case StreamStopped(stream_id, session):
            stream = state.streams.get(stream_id)
            # Not one that took its id meanwhile.
            if stream is not None and stream.ended is None and stream.session == session:
                streams.end_stream(state, stream, STOPPED_BY_OPERATOR, now)
        case ScaleRequested(at_least):
            if at_least != state.at_least:
                state.at_least = state.changes.at_least = at_least
            state.tell("scale_requested", at_least=at_least)
        case BreakerReset():
            _reset(state)
        case MaintenanceRequested():
            maintenance.begin(state, now)
        case MaintenanceOver():
            maintenance.end(state, now)
        case _:
            assert_never(fact)


def _drain(state: State, engine: Engine, now: Now) -> None:
    """Also one that drains already, and might be taken back for what it drains for."""
    if engine.drain is None:
        scaling.drain(state, Drain(*engine.ref, OPERATOR), now)
    elif engine.drain.reason != OPERATOR:
        state.put(replace(engine, drain=replace(engine.drain, reason=OPERATOR)))
        state.tell("engine_draining", engine.slot, reason=OPERATOR)


def _stop(state: State, engine: Engine, now: Now) -> None:
    """As one whose stop is to be asked for again: that is stored, and survives a restart."""
    state.put(replace(engine, stop=Stopping(OPERATOR, now), claim=None))
    admission.turn_away(state, engine)


def _reset(state: State) -> None:
    before = state.breaker
    state.put_breaker(breaker.closed(before))
    state.tell("breaker_reset", failures=before.failures, was_open=before.opened is not None)

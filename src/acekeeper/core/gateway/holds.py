"""What may play on an engine without a stream that says so: it is stopped before others get the
engine."""

from collections.abc import Iterator

from msgspec.structs import replace

from acekeeper.core import callers
from acekeeper.core.actions import Drain
from acekeeper.core.gateway.actions import StopSession
from acekeeper.core.gateway.facts import SessionNotStopped
from acekeeper.core.gateway.model import Hold, Ref
from acekeeper.core.model import Now, Phase
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

NOT_STOPPED = "session_not_stopped"


def opening(state: State, ref: Ref, request: str) -> Hold | None:
    """The open of a play on this engine that has no answer so far."""
    return next((h for h in state.holds.get(ref, ()) if h.opening == request), None)


def add(state: State, ref: Ref, hold: Hold) -> None:
    state.put_holds(ref, (*state.holds.get(ref, ()), hold))


def change(state: State, ref: Ref, hold: Hold, changed: Hold | None, now: Now) -> None:
    """None: it is gone."""
    others = (h if h.kept != hold.kept else changed for h in state.holds.get(ref, ()))
    state.put_holds(ref, tuple(h for h in others if h is not None))
    engine = state.current(*ref)
    if engine is None or engine.phase is not Phase.RUNNING or engine.claim is not None:
        return
    if state.is_vacant(engine):
        state.put(replace(engine, free_since=engine.free_since or now))


def stops(state: State, rules: Rules, now: Now) -> Iterator[StopSession | Drain | float]:
    """An engine that does not stop a session for long is replaced: it hangs, or would play to
    nobody. So is one whose reader stays long after the stop."""
    for ref in state.staying:
        if callers.is_left_read(state.callers[ref], rules):
            engine = state.current(*ref)
            if engine is not None and engine.drain is None and engine.phase is Phase.RUNNING:
                yield Drain(*ref, NOT_STOPPED)
    for ref, held in state.holds.items():
        engine = state.current(*ref)
        if engine is None or engine.phase is Phase.STOPPING:
            continue
        for hold in held:
            if hold.opening or hold.stopping:
                continue
            if hold.retry > hold.since.mono and engine.drain is None:  # a stop failed
                due = hold.since.mono + rules.still_read_after
                yield Drain(*ref, NOT_STOPPED) if now.mono >= due else due
            yield StopSession(*ref, hold) if now.mono >= hold.retry else hold.retry


def stopping(state: State, ref: Ref, hold: Hold, now: Now) -> None:
    change(state, ref, hold, replace(hold, stopping=True), now)


def stopped(state: State, ref: Ref, hold: Hold, now: Now) -> None:
    change(state, ref, hold, None, now)


def not_stopped(state: State, rules: Rules, fact: SessionNotStopped, now: Now) -> None:
    engine = state.current(*fact.ref)
    if engine is None:
        return
    state.tell("session_not_stopped", fact.slot, why=fact.why, key=fact.hold.content.key)
    again = replace(fact.hold, stopping=False, retry=now.mono + rules.stop_retry)
    change(state, fact.ref, fact.hold, again, now)
    state.put(engine.to_be_asked())

"""Which engines are doubted, of all that something speaks against: a quarter at once, so that the
list never empties by doubt alone."""

import math
from collections.abc import Iterator

from msgspec.structs import replace

from acekeeper.core import health, network, succession
from acekeeper.core.doubt import Content, Doubt, Played, Suspicion
from acekeeper.core.model import Engine, Health, Now, Phase
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

CLAIM_LAPSED = "claim_lapsed"
CONNECTION = "connection"
SILENT = "silent"
# The strongest first.
REASONS = (SILENT, "timeout", "empty_timeout", "completed", CLAIM_LAPSED, CONNECTION)


def suspect(
    state: State, rules: Rules, engine: Engine, content: Content | None, why: str, now: Now
) -> None:
    """Doubts the engine, at once or when there is room, if there is a content to try it with."""
    if content is None or engine.doubt or not _may_be_doubted(engine):
        return
    if network.is_to_blame(state, engine):
        return
    before = engine.against
    if before is None or _rank(why) <= _rank(before.why):
        state.put(replace(engine, against=Suspicion(content, now.mono, why)))
    choose(state, rules, now)


def choose(state: State, rules: Rules, now: Now) -> None:
    """Doubts the most suspect, as many as may be. A doubt that no try has confirmed makes room for
    a stronger one."""
    for engine in sorted(_suspects(state, rules, now), key=lambda e: _order(state, e)):
        doubted = [e for s in state.index.accused if _is_on_trial(e := state.engines[s])]
        if len(doubted) >= max(1, len(state.engines) // 4):
            weakest = max(doubted, key=lambda e: _order(state, e))
            if _order(state, weakest)[:-2] <= _order(state, engine)[:-2]:
                return
            _let_go(state, rules, weakest, now)
        _doubt(state, engine, now)


def forget(state: State, engine: Engine) -> None:
    """It played since."""
    state.put(replace(engine, against=None))


def _suspects(state: State, rules: Rules, now: Now) -> Iterator[Engine]:
    for engine in [state.engines[slot] for slot in state.index.accused]:
        suspicion = engine.against
        if not isinstance(suspicion, Suspicion):
            continue
        if not _may_be_doubted(engine) or now.mono - suspicion.since >= rules.blame_lasts:
            forget(state, engine)
        else:
            yield engine


def _may_be_doubted(engine: Engine) -> bool:
    return engine.phase is Phase.RUNNING and engine.drain is None


def _is_on_trial(engine: Engine) -> bool:
    """One that failed its tries is not doubted any more, but known to be ill."""
    return bool(engine.doubt) and _may_be_doubted(engine) and engine.health is not Health.UNHEALTHY


def _order(state: State, engine: Engine) -> tuple[bool, int, bool, float, int]:
    """The first is doubted first, and kept: a failed try, the reason, one that can be tried now;
    among equals the one that has not played for the longest."""
    against = engine.against
    tried = engine.doubt is not None and (engine.doubt.trying or engine.doubt.failures > 0)
    return (
        not tried,
        _rank(against.why) if against else len(REASONS),
        engine.slot in state.playing or _is_called(state, engine),
        max((p.last for p in played(state, engine)), default=-math.inf),
        engine.slot.port,
    )


def _is_called(state: State, engine: Engine) -> bool:
    callers = state.callers.get(engine.ref)
    return callers is not None and callers.nobody is None


def played(state: State, engine: Engine) -> Iterator[Played]:
    """The streams that lasted on this start of the engine lately."""
    return (p for p in state.played.get(engine.slot, ()) if p.incarnation == engine.incarnation)


def _rank(why: str) -> int:
    return REASONS.index(why)


def _let_go(state: State, rules: Rules, engine: Engine, now: Now) -> None:
    doubt = engine.doubt
    if doubt is None:
        raise AssertionError("only a doubted engine is let go")
    engine = replace(engine, against=Suspicion(doubt.content, doubt.since, doubt.why))
    state.put(health.improved(state, rules, engine, now))


def _doubt(state: State, engine: Engine, now: Now) -> None:
    suspicion = engine.against
    if suspicion is None:
        raise AssertionError("only a suspect is doubted")
    succession.lost(state, engine, now)
    state.tell("playback_doubted", engine.slot, why=suspicion.why, key=suspicion.content.key)
    state.put(
        replace(
            engine,
            against=Doubt(suspicion.content, now.mono, suspicion.why),
            health=Health.UNKNOWN if engine.health is Health.HEALTHY else engine.health,
            unlisted=engine.unlisted or now,
        )
    )

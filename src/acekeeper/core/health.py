"""Whether an engine is alive, whom to ask next, and who has to be replaced."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from acekeeper.core import breaker, succession, vpns
from acekeeper.core.actions import Ask, Drain, Settle
from acekeeper.core.facts import EngineAnswered, EngineSilent, EnginesSurveyed
from acekeeper.core.model import Engine, Health, Now, Phase, Probe
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

UNHEALTHY = "unhealthy"
_PENALTY = {Health.HEALTHY: 0, Health.UNKNOWN: 25, Health.UNHEALTHY: 50}


def engine_answered(state: State, rules: Rules, fact: EngineAnswered, now: Now) -> None:
    engine = state.current(fact.slot, fact.incarnation)
    if engine is None:
        return
    engine = replace(engine, probe=Probe(ended=now, judged=now))
    if engine.phase is Phase.STARTING:
        if engine.started is not None:  # else it was found, and may have run for days
            seconds = min(now.mono - engine.started.mono, rules.startup_grace)
            state.typical_start += (seconds - state.typical_start) / 4
        state.put_breaker(breaker.became_ready(state.breaker, rules, now))
        engine = replace(
            engine,
            ready=now,
            free_since=now if engine.claim is None and state.is_vacant(engine) else None,
        )
        state.tell(
            "engine_ready",
            engine.slot,
            request=engine.claim,
            seconds=round(now.mono - engine.created.mono, 3),
        )
    state.put(improved(state, rules, engine, now))


def engine_silent(state: State, rules: Rules, fact: EngineSilent, now: Now) -> None:
    engine = state.current(fact.slot, fact.incarnation)
    if engine is None:
        return
    if engine.ready and state.is_cut_off(engine) and vpns.of_engine(state, engine):
        fact = replace(fact, excused=True)  # it may be busy looking for the network
    # The grace of a start ends with an answer of its own.
    judged = engine.probe.judged if fact.excused else now
    engine = replace(engine, probe=Probe(engine.probe.failures, ended=now, judged=judged))
    if fact.excused or engine.phase is not Phase.RUNNING:
        state.put(engine)  # a starting engine is judged by its grace alone
        return
    failures = engine.probe.failures + 1
    engine = replace(engine, probe=replace(engine.probe, failures=failures), checked=now)
    if engine.health is Health.HEALTHY:
        succession.lost(state, engine, now)
        engine = replace(engine, health=Health.UNKNOWN, unlisted=engine.unlisted or now)
        state.tell("engine_suspected", engine.slot, why=fact.why)
    state.put(worsened(state, rules, engine, failures, fact.why, now))


def improved(state: State, rules: Rules, engine: Engine, now: Now) -> Engine:
    """After good news: it is well unless its status, or its playback, still says otherwise."""
    failures = max(engine.probe.failures, engine.doubt.failures if engine.doubt else 0)
    if failures or engine.doubt:
        if engine.health is Health.UNHEALTHY and failures < rules.health_failure_threshold:
            return replace(engine, health=Health.UNKNOWN, unhealthy=None)
        return engine
    if engine.health is Health.HEALTHY or state.is_cut_off(engine):
        return engine
    if engine.ready != now:
        state.tell("engine_recovered", engine.slot, was=engine.health.value)
        succession.found(state, engine)
    return replace(
        engine,
        health=Health.HEALTHY,
        seen=now,
        checked=now,
        unhealthy=None,
        unlisted=engine.drain.since if engine.drain else None,
    )


def worsened(
    state: State, rules: Rules, engine: Engine, failures: int, why: str, now: Now
) -> Engine:
    """After one more failure of a suspect."""
    if engine.health is Health.UNKNOWN and failures >= rules.health_failure_threshold:
        state.tell("engine_unhealthy", engine.slot, why=why, failures=failures)
        return replace(engine, health=Health.UNHEALTHY, unhealthy=now)
    return engine


def engines_surveyed(state: State, fact: EnginesSurveyed, now: Now) -> None:
    """Times that only say "still fine" move together, once a pass, so that a list nobody
    touched keeps its ETag in between."""
    for slot, incarnation in fact.answered:
        engine = state.current(slot, incarnation)
        if engine is not None and engine.health is Health.HEALTHY:
            state.put(replace(engine, seen=now, checked=now))
    if state.listed:  # else nobody knows yet whom to ask
        state.surveyed = True


def asks(
    state: State, rules: Rules, uneasy: Iterable[Engine], now: Now
) -> Iterator[Ask | Settle | float]:
    """Starting engines and suspects are asked again and again; the others once a sweep, as are
    those that are cut off."""
    for engine in uneasy:
        if engine.stop or not engine.incarnation:
            continue
        if engine.ready and not engine.settled:
            due = engine.ready.mono + rules.early_death
            yield Settle(*engine.ref) if now.mono >= due else due
        if engine.probe.under_way:
            continue
        if engine.ready is None:
            every = rules.ask_starting_every
        elif engine.health is not Health.HEALTHY and not state.is_cut_off(engine):
            every = rules.ask_suspect_every
        elif engine.probe.due:
            every = 0.0
        else:
            continue
        due = engine.probe.ended.mono + every if engine.probe.ended else now.mono
        yield Ask(*engine.ref) if now.mono >= due else due


def replacements(
    state: State, rules: Rules, uneasy: Iterable[Engine], now: Now
) -> Iterator[Drain | float]:
    """Unhealthy engines, a quarter of all at the most per cooldown, the longest ill first."""
    ill = sorted(
        (e.unhealthy.mono, e.slot, e)
        for e in uneasy
        if e.unhealthy and e.phase is Phase.RUNNING and e.drain is None
    )
    recent = [r for r in state.replaced if now.mono - r.mono < rules.replacement_cooldown]
    allowed = max(1, len(state.engines) // 4) - len(recent)
    for since, _, engine in ill:
        due = since + rules.unhealthy_grace_period
        if allowed <= 0:
            due = max(due, min(r.mono for r in recent) + rules.replacement_cooldown)
        if now.mono < due:
            yield due
            continue
        yield Drain(*engine.ref, UNHEALTHY)
        return


def settle(state: State, action: Settle) -> None:
    engine = state.current(action.slot, action.incarnation)
    if engine is not None:
        state.put(replace(engine, settled=True))
        state.put_breaker(breaker.settled(state.breaker))


def health_score(engine: Engine, streams: int, now: Now) -> int:
    """How good a choice an engine is, as the user's document scores it."""
    warm = engine.used is not None and now.mono - engine.used.mono < 300
    return max(0, 100 - min(streams * 20, 60) - _PENALTY[engine.health] + (10 if warm else 0))

"""Who gets an engine, who waits, who is refused; and whether one more may be started."""

import math
from collections.abc import Iterator
from dataclasses import replace

from acekeeper.core import breaker, demand, playback
from acekeeper.core.actions import Action, Answer, Code, Grant, Refusal, Refuse, Start
from acekeeper.core.allocation import next_slot
from acekeeper.core.breaker import Circuit
from acekeeper.core.facts import ProvisionRequested
from acekeeper.core.model import Claim, Engine, Now, Phase, Request, Rules
from acekeeper.core.names import Slot
from acekeeper.core.state import State

_LAPSE_AT_ONCE = 100


def starting(state: State) -> int:
    return sum(e.phase is Phase.STARTING for e in state.engines.values())


def remaining(state: State, rules: Rules) -> int:
    """Provisioning slots nobody uses; one is used from a start to its readiness."""
    return max(0, rules.max_concurrent_provisions - starting(state))


def claimable(state: State, rules: Rules, now: Now) -> Engine | None:
    """A starting engine nobody claims, else the one that has been free longest and was not
    handed out lately: whoever got it may be slow to show up."""
    coming = [e for e in state.engines.values() if state.is_coming(e, rules)]
    if coming:
        return min(coming, key=lambda e: e.asked.mono)
    free = [
        e
        for e in state.engines.values()
        if state.is_free(e, rules) and rested_at(e, rules) <= now.mono
    ]

    def streams_then_idle(engine: Engine) -> tuple[int, float]:
        return len(state.playing.get(engine.slot, ())), (engine.free_since or engine.asked).mono

    return min(free, key=streams_then_idle, default=None)


def rested_at(engine: Engine, rules: Rules) -> float:
    return engine.handed.mono + rules.rest_after_hand_out if engine.handed else 0.0


def blocked(state: State, rules: Rules, now: Now) -> Refusal | None:
    """What the status tells every client: None unless the breaker is open, or the cap is
    reached with nothing to give. Clients believe it for half a minute."""
    if breaker.circuit(state.breaker, rules, now) is Circuit.OPEN:
        return _breaker_open(state, rules, now)
    if len(state.engines) >= rules.max_replicas and claimable(state, rules, now) is None:
        return _at_capacity(state, rules, now)
    return None


def may_start(state: State, rules: Rules, now: Now, ahead: int = 0) -> Refusal | float | None:
    """Whether one more engine may be started, behind `ahead` others who wait for the same.

    None: now. A time (monotonic): then, by the interval alone. A refusal: not foreseeably.
    """
    circuit = breaker.circuit(state.breaker, rules, now)
    if circuit is Circuit.OPEN:
        return _breaker_open(state, rules, now)
    if len(state.engines) + ahead >= rules.max_replicas:
        return _at_capacity(state, rules, now)
    if circuit is Circuit.HALF_OPEN and (ahead or starting(state)):
        return _waiting(Code.CIRCUIT_BREAKER, "a trial start is under way", _next_ready(state, now))
    if remaining(state, rules) <= ahead:
        return _waiting(
            Code.GENERAL_ERROR, "all provisioning slots are busy", _next_ready(state, now)
        )
    interval = rules.min_provision_interval
    due = max(now.mono, state.last_start.mono + interval if state.last_start else 0.0)
    due += ahead * interval
    return due if due > now.mono else None


def _next_ready(state: State, now: Now) -> float:
    """Seconds until the next starting engine should be ready, by what starts took lately."""
    begun = [
        (e.started or e.asked).mono for e in state.engines.values() if e.phase is Phase.STARTING
    ]
    return max(0.0, min(begun, default=now.mono) + state.typical_start - now.mono)


def _breaker_open(state: State, rules: Rules, now: Now) -> Refusal:
    left = max(1, breaker.seconds_left(state.breaker, rules, now))
    return Refusal(
        Code.CIRCUIT_BREAKER,
        f"{state.breaker.failures} engine starts failed in a row; the next try is in {left} s",
        left,
        should_wait=left <= 4,
    )


def _at_capacity(state: State, rules: Rules, now: Now) -> Refusal:
    """The eta is when the next hand-out or drain runs out; nobody knows when a viewer leaves."""
    ends = [
        rested_at(e, rules)
        for e in state.engines.values()
        if e.handed and e.drain is None and (e.claim or state.is_free(e, rules))
    ] + [
        max(
            (e.unlisted or e.drain.since).mono + rules.drain_wait,
            e.claim.until.mono if e.claim and e.claim.until else 0.0,
        )
        for e in state.engines.values()
        if e.drain and e.slot not in state.playing
    ]
    ends = [end for end in ends if end > now.mono]
    eta = math.ceil(min(ends) - now.mono) if ends else None
    return Refusal(
        Code.MAX_CAPACITY,
        f"all {rules.max_replicas} engines are in use",
        eta,
        should_wait=eta is not None and eta <= 4,
    )


def _waiting(code: Code, message: str, seconds: float) -> Refusal:
    """What passes within seconds: clients wait 1 to 4 s inside a viewer's request."""
    return Refusal(code, message, min(4, max(1, math.ceil(seconds))), should_wait=True)


def provision_requested(state: State, fact: ProvisionRequested, now: Now) -> None:
    if fact.request not in state.requests:
        state.requests[fact.request] = Request(
            id=fact.request, received=now, port=fact.port, labels=fact.labels
        )


def requests(state: State, rules: Rules, now: Now) -> Iterator[Action | float]:
    """Decides for the oldest requests first. Stops at the first decision, since the next one
    depends on it."""
    ahead = 0
    for request in state.requests.values():
        if request.answered:
            continue
        step = _step(state, rules, request, now, ahead)
        yield step
        if not isinstance(step, float):
            return
        ahead += request.slot is None
    if ahead:
        ends = (rested_at(e, rules) for e in state.engines.values() if state.is_free(e, rules))
        yield from (end for end in ends if end > now.mono)


def _step(state: State, rules: Rules, request: Request, now: Now, ahead: int) -> Action | float:
    deadline = request.received.mono + rules.answer_within
    if request.slot is not None:
        return _answer(state, request, now, deadline)
    verdict = _admit(state, rules, request, now, ahead)
    if isinstance(verdict, Refusal):
        last = deadline - _at_least(verdict) if verdict.should_wait else now.mono
        return last if now.mono < last else Refuse(request.id, verdict)
    if isinstance(verdict, float):
        if verdict < deadline:
            return verdict
        wait = _waiting(
            Code.GENERAL_ERROR, "engines are started one after another", verdict - now.mono
        )
        return Refuse(request.id, wait)
    return verdict


def _at_least(refusal: Refusal) -> float:
    """Seconds until an engine may be had; one that is due may be ready any moment."""
    return refusal.eta if refusal.eta and refusal.eta > 1 else 0.0


def _answer(state: State, request: Request, now: Now, deadline: float) -> Action | float:
    engine = state.engines[request.slot] if request.slot else None
    if engine is None:
        raise AssertionError("a request keeps its slot only while the engine is there")
    if engine.ready and engine.container_id:
        return Answer(request.id)
    if now.mono < deadline:
        return deadline
    if engine.container_id:
        return Answer(request.id)
    wait = _waiting(Code.GENERAL_ERROR, "the engine is still being created", 2)
    return Refuse(request.id, wait)


def _admit(
    state: State, rules: Rules, request: Request, now: Now, ahead: int
) -> Action | Refusal | float:
    if not state.listed:
        return _waiting(Code.GENERAL_ERROR, "whoever runs the engines cannot be reached now", 2)
    if request.port is None:
        engine = claimable(state, rules, now)
        if engine is not None:
            return Grant(request.id, engine.slot)
    elif not _to_be_had(state, rules, request, request.port):
        return Refusal(
            Code.GENERAL_ERROR,
            f"host_port {request.port} is in use or outside {rules.ports.first}-{rules.ports.last}",
            None,
            conflict=True,
        )
    if not state.connected:
        return _waiting(Code.GENERAL_ERROR, "whoever runs the engines cannot be reached now", 2)
    verdict = may_start(state, rules, now, ahead)
    if verdict is not None:
        return verdict
    slot = Slot(rules.host, request.port) if request.port else next_slot(state, rules, now)
    if slot is None:
        return Refusal(Code.MAX_CAPACITY, "every port of PORT_RANGE_HOST has an engine", None)
    return Start(slot, request.id)


def _to_be_had(state: State, rules: Rules, request: Request, port: int) -> bool:
    """Not again what was tried for this request: somebody else may hold the port."""
    slot = Slot(rules.host, port)
    vacated = state.vacated.get(slot)
    tried = vacated is not None and vacated.mono >= request.received.mono
    return port in rules.ports and slot not in state.engines and not tried


def grant(state: State, rules: Rules, request_id: str, slot: Slot, now: Now) -> None:
    request, engine = state.requests[request_id], state.engines[slot]
    state.requests[request_id] = replace(request, slot=slot)
    state.put(
        replace(
            engine,
            claim=Claim(request_id),
            free_since=None,
            labels=request.labels or engine.labels,  # not both: they would grow for ever
        )
    )
    demand.taken(state, rules, now)


def answer(state: State, rules: Rules, request_id: str, now: Now) -> None:
    """From here the engine counts as handed out, whether or not the answer arrives."""
    request = state.requests[request_id]
    state.requests[request_id] = replace(request, answered=True)
    engine = state.engines[request.slot] if request.slot else None
    if engine is not None:
        claim = Claim(request_id, now.after(rules.claim_lasts))
        state.put(replace(engine, claim=claim, handed=now))
        state.tell(
            "engine_granted",
            engine.slot,
            request=request_id,
            waited=round(now.mono - request.received.mono, 3),
            ready=engine.ready is not None,
        )


def refuse(state: State, request_id: str, refusal: Refusal, now: Now) -> None:
    release(state, request_id, now)
    state.tell(
        "provision_refused",
        request=request_id,
        code=refusal.code.value,
        why=refusal.message,
        eta=refusal.eta,
    )


def answer_delivered(state: State, request_id: str) -> None:
    request = state.requests.get(request_id)
    if request is not None and request.answered:
        del state.requests[request_id]


def answer_lost(state: State, request_id: str, now: Now) -> None:
    if request_id in state.requests:
        release(state, request_id, now)
        state.tell("answer_lost", request=request_id)


def release(state: State, request_id: str, now: Now) -> None:
    """Takes the claim back; the engine, or its start, is there for the next caller."""
    request = state.requests.pop(request_id)
    engine = state.engines.get(request.slot) if request.slot else None
    if engine is not None and engine.claim is not None and engine.claim.request == request_id:
        free = now if engine.phase is Phase.RUNNING and engine.slot not in state.playing else None
        state.put(replace(engine, claim=None, handed=None, free_since=free))


def lapse_claims(state: State, now: Now) -> None:
    """Those that are over, some at once: the rest is due already."""
    claimed = ((e, e.claim.until) for e in state.engines.values() if e.claim and e.claim.until)
    over = [(engine, until) for engine, until in claimed if until.mono <= now.mono]
    for engine, until in over[:_LAPSE_AT_ONCE]:
        free = until if engine.slot not in state.playing else None
        state.put(replace(engine, claim=None, free_since=free))
        state.tell("claim_lapsed", engine.slot)
        playback.claim_lapsed(state, state.engines[engine.slot], now)


def lapses(state: State) -> Iterator[float]:
    for engine in state.engines.values():
        if engine.claim is not None and engine.claim.until is not None:
            yield engine.claim.until.mono


def turn_away(state: State, slot: Slot) -> None:
    """The engine is gone: a request that was promised it waits again."""
    for request in state.requests.values():
        if request.slot == slot and not request.answered:
            state.requests[request.id] = replace(request, slot=None)
            return

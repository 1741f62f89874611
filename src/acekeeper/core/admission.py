"""Who gets an engine, who waits, who is refused."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec.structs import replace

from acekeeper.core import breaker, demand, playback, vpns
from acekeeper.core.actions import Action, Answer, Code, Grant, Refusal, Refuse, Start, TakeBack
from acekeeper.core.breaker import Circuit
from acekeeper.core.facts import ProvisionRequested
from acekeeper.core.model import Engine, Now, Phase, Request
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import Supply, in_maintenance, waiting

NO_SLOT = Refusal(Code.MAX_CAPACITY, "every port that may have an engine has one", None)
_LAPSE_AT_ONCE = 32


def blocked(state: State, rules: Rules, now: Now) -> Refusal | None:
    """What the status tells every client: None unless the host is in maintenance, the breaker is
    open, or nothing is to be given and none can be started. Clients believe it for half a
    minute."""
    if state.maintenance is not None:
        return in_maintenance()
    supply = Supply(state, rules, now)
    if state.lacks and not supply.has_engines():
        return supply.lacks
    without = vpns.refusal(state, rules)
    if without is not None and not supply.has_engines():
        # In the seconds after a start of ours nobody has been asked.
        return without if vpns.are_known(state, rules) else None
    if breaker.circuit(state.breaker, rules, now) is Circuit.OPEN:
        return supply.breaker_open
    if len(state.engines) >= rules.max_replicas and not supply.has_engines():
        return supply.at_capacity
    if not supply.has_slots() and not supply.has_engines():
        return NO_SLOT
    return None


def provision_requested(state: State, fact: ProvisionRequested, now: Now) -> None:
    if fact.request not in state.requests:
        state.requests[fact.request] = Request(
            id=fact.request, received=now, port=fact.port, labels=fact.labels
        )


def steps(
    state: State, rules: Rules, supply: Supply, request: Request, now: Now
) -> Iterator[Action | float]:
    deadline = request.received.mono + rules.answer_within
    if request.slot is not None:
        yield _answer(state, request, now, deadline)
        return
    verdict = _admit(state, rules, supply, request, deadline)
    match verdict:
        case Engine():
            if verdict.drain is not None:
                yield TakeBack(*verdict.ref)
            yield Grant(request.id, verdict.slot)
        case Start():
            yield verdict
        case Refusal():
            last = deadline - _at_least(verdict) if verdict.should_wait else now.mono
            if now.mono < last:
                supply.wait_for_start()
                yield last
            else:
                yield Refuse(request.id, verdict)
        case _ if verdict < deadline:
            supply.wait_for_start()
            yield verdict
        case _:
            wait = waiting(
                Code.GENERAL_ERROR, "engines are started one after another", verdict - now.mono
            )
            yield Refuse(request.id, wait)


def _at_least(refusal: Refusal) -> float:
    """Seconds until an engine may be had; one that is due may be ready any moment."""
    return refusal.eta if refusal.eta and refusal.eta > 1 else 0.0


def _answer(state: State, request: Request, now: Now, deadline: float) -> Action | float:
    engine = state.engines[request.slot] if request.slot else None
    if engine is None:
        raise AssertionError("a request keeps its slot only while the engine is there")
    if engine.container_id and (engine.ready or now.mono >= deadline):
        return Answer(request.id)
    if now.mono < deadline:
        return deadline
    wait = waiting(Code.GENERAL_ERROR, "the engine is still being created", 2)
    return Refuse(request.id, wait)


def _admit(
    state: State, rules: Rules, supply: Supply, request: Request, deadline: float
) -> Engine | Start | Refusal | float:
    if state.maintenance is not None:
        return in_maintenance()
    if not state.listed:
        return waiting(Code.GENERAL_ERROR, "whoever runs the engines cannot be reached now", 2)
    if request.port is not None:
        if not _to_be_had(state, rules, supply, request, request.port):
            ports = vpns.ports(rules)
            return Refusal(
                Code.GENERAL_ERROR,
                f"host_port {request.port} is in use or outside {ports[0]}-{ports[-1]}",
                None,
                conflict=True,
            )
        return _start(state, supply, request, Slot(rules.host, request.port))
    engine = supply.engine()
    if engine is not None:
        return engine
    verdict = _start(state, supply, request)
    if isinstance(verdict, Refusal) or (isinstance(verdict, float) and verdict >= deadline):
        return supply.late_engine() or verdict
    return verdict


def _start(
    state: State, supply: Supply, request: Request, slot: Slot | None = None
) -> Start | Refusal | float:
    if not state.connected:
        return waiting(Code.GENERAL_ERROR, "whoever runs the engines cannot be reached now", 2)
    verdict = supply.may_start(slot)
    if verdict is not None:
        return verdict
    slot = supply.start(slot)
    if slot is None:
        return NO_SLOT
    return Start(slot, request.id)


def _to_be_had(state: State, rules: Rules, supply: Supply, request: Request, port: int) -> bool:
    """Not again what was tried for this request: somebody else may hold the port."""
    slot = Slot(rules.host, port)
    vacated = state.vacated.get(slot)
    tried = vacated is not None and vacated.mono >= request.received.mono
    return port in vpns.ports(rules) and not supply.is_there(slot) and not tried


def grant(state: State, rules: Rules, request_id: str, slot: Slot, now: Now) -> None:
    request, engine = state.requests[request_id], state.engines[slot]
    state.requests[request_id] = replace(request, slot=slot)
    state.put(
        replace(
            engine,
            claim=request_id,
            handed=None,
            free_since=None,
            labels=request.labels or engine.labels,  # not both: they would grow for ever
        )
    )
    demand.taken(state, rules, now)


def answer(state: State, request_id: str, now: Now) -> None:
    """From here the engine counts as handed out, whether or not the answer arrives."""
    request = state.requests[request_id]
    state.requests[request_id] = replace(request, answered=True)
    engine = state.engines[request.slot] if request.slot else None
    if engine is not None:
        state.put(replace(engine, claim=request_id, handed=now))
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
    if engine is not None and engine.claim == request_id:
        free = now if engine.phase is Phase.RUNNING and state.is_vacant(engine) else None
        state.put(replace(engine, claim=None, handed=None, free_since=free))


def lapse_claims(state: State, rules: Rules, now: Now) -> None:
    """Some, if many are over at once: the deadline of the others has passed, so that time is told
    to have passed again."""
    due = (e.slot for e in state.uneasy_engines() if _lapses(e) <= now.mono)
    for slot in list(islice(due, _LAPSE_AT_ONCE)):
        engine = state.engines[slot]  # a lapse may change others too
        if (until := engine.claimed_until) is not None:
            free = until if state.is_vacant(engine) else None
            state.put(replace(engine, claim=None, free_since=free))
            state.tell("claim_lapsed", engine.slot)
            playback.claim_lapsed(state, rules, state.engines[slot], now)


def lapses(uneasy: Iterable[Engine]) -> Iterator[float]:
    yield min(map(_lapses, uneasy), default=math.inf)


def _lapses(engine: Engine) -> float:
    return until.mono if (until := engine.claimed_until) else math.inf


def turn_away(state: State, engine: Engine) -> None:
    """`engine` as it was before it was gone: a request that was promised it waits again."""
    if engine.claim is not None and engine.handed is None:
        request = state.requests[engine.claim]
        state.requests[request.id] = replace(request, slot=None)

"""How many engines are kept ready, and how one is taken away without hurting anybody."""

import math
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush, merge
from itertools import islice

from msgspec.structs import replace

from acekeeper.core import (
    admission,
    callers,
    demand,
    maintenance,
    rollout,
    succession,
    vpns,
)
from acekeeper.core.actions import AskStreams, Drain, Start, Stop, TakeBack, Turn
from acekeeper.core.facts import StreamsAsked
from acekeeper.core.gateway import choice
from acekeeper.core.health import UNHEALTHY
from acekeeper.core.indexes import NOBODY, Rank, with_room
from acekeeper.core.lifecycle import START_TIMEOUT
from acekeeper.core.model import Draining, Engine, Health, Now, Phase
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import SCALE_DOWN, Supply, free_slots, may_be_taken_back, rested_at
from acekeeper.core.vpn import Vpn


def staying(state: State) -> int:
    """Engines in all, but for those that are to go."""
    going = sum(e.phase is Phase.STOPPING or e.drain is not None for e in state.uneasy_engines())
    return len(state.engines) - going


def scale(
    state: State, rules: Rules, now: Now
) -> Iterator[Start | TakeBack | Drain | Turn | float]:
    """One step up or down. Nothing is scaled before every engine was asked once."""
    if not (state.connected and state.surveyed):
        return
    turned = rollout.turn(state, rules, staying(state), now)
    if turned is not None:
        yield turned
    if turned is not None or state.maintenance is not None:
        return
    wanted, until = demand.wanted_free(state, rules, now)
    yield until
    ready = demand.ready_or_coming(state, rules) - len(choice.players_waiting(state, rules, now))
    too_many = staying(state) - _at_least(state, rules)
    spare = min(ready - wanted, too_many)
    outdated = rollout.free_ones(state, rules)
    few = outdated[: rollout.at_once(state, rules)] if outdated else []
    settled = too_many - len(state.index.starting)
    if few and rollout.may_go(few[0], state, rules, wanted, min(spare, settled)):
        yield Drain(*outdated[0].ref, rollout.why(outdated[0], state, rules))
    elif spare < 0:
        yield _one_more(state, rules, now, lacking=-spare)
    elif ready <= 0 and (way := _giving_way(state, rules, now, lacking=1)) is not None:
        yield way
    elif few and (spare < len(few) or not rollout.is_on_trial(state, rules)):
        yield _one_more(state, rules, now, instead=True)  # their successors come first
    elif wanted > 0 and (wanting := vpns.wanting(state, rules)):
        yield _one_for_a_port(state, rules, wanting, now)
    elif spare > 0 and rules.auto_delete and not outdated:
        yield from _scale_down(state, rules, wanted, now)


def _at_least(state: State, rules: Rules) -> int:
    """Engines in all. Where none is deleted for being one too many, none is so by a rollout."""
    kept = state.rollout.kept if state.rollout and not rules.auto_delete else 0
    return max(state.at_least, kept)


def _one_more(
    state: State, rules: Rules, now: Now, *, lacking: int = 1, instead: bool = False
) -> Start | TakeBack | Drain | float:
    """`instead`: of an outdated one."""
    going = (e for e in state.uneasy_engines() if may_be_taken_back(state, rules, e))
    is_no_help = rollout.why if instead else rollout.is_to_go
    may_stay = (e for e in going if not is_no_help(e, state, rules))
    engine = min(may_stay, key=lambda e: (e.idle_since.mono, e.slot), default=None)
    if engine is not None:
        return TakeBack(*engine.ref)
    return _giving_way(state, rules, now, lacking) or _start(state, rules, now, instead=instead)


def _start(state: State, rules: Rules, now: Now, *, instead: bool) -> Start | float:
    supply = Supply(state, rules, now)
    verdict = supply.may_start()
    if isinstance(verdict, float):
        return verdict
    slot = supply.start() if verdict is None else None
    return Start(slot, instead=instead) if slot is not None else math.inf


def _giving_way(state: State, rules: Rules, now: Now, lacking: int) -> Drain | None:
    """Where every place of MAX_REPLICAS is taken: one that is cut off and has no streams, for a
    start behind another VPN; as many as are lacking."""
    if len(state.engines) < rules.max_replicas or not rules.vpns:
        return None
    if next(free_slots(state, rules, now), None) is None or _going(state) >= lacking:
        return None
    cut_off = (
        e
        for e in state.uneasy_engines()
        if state.is_cut_off(e) and e.drain is None and e.stop is None and e.incarnation
    )
    idle = (e for e in cut_off if state.is_vacant(e) and e.claim is None)
    longest = min(idle, key=lambda e: (e.idle_since.mono, e.slot), default=None)
    return Drain(*longest.ref, vpns.VPN) if longest is not None else None


def _one_for_a_port(
    state: State, rules: Rules, wanting: list[Vpn], now: Now
) -> Start | Drain | float:
    """An engine that starts for a forwarded port; one of the others may go then. Where there is no
    room for it, one of the others goes first."""
    has_room = len(state.engines) < rules.max_replicas and any(
        Slot(rules.host, port) not in state.engines
        for vpn in wanting
        for port in vpns.ports_of(rules, vpn.name)
    )
    if has_room:
        return _start(state, rules, now, instead=True)
    names = {vpn.name for vpn in wanting}
    idle = (state.engines[slot] for _, slot in state.index.idle.ranks.get(NOBODY, ()))
    longest = next((e for e in idle if e.behind is not None and e.behind.vpn in names), None)
    if longest is None or _going(state):
        return math.inf
    return Drain(*longest.ref, vpns.VPN)


def _going(state: State) -> int:
    """How many give way already. Those outside of the VPNs go by themselves."""
    going = (e for e in state.uneasy_engines() if e.drain and e.drain.reason == vpns.VPN)
    return sum(e.behind is not None for e in going)


def _scale_down(state: State, rules: Rules, wanted: int, now: Now) -> Iterator[Drain | float]:
    """The engine that has been idle longest goes, once more than `wanted` have been free for the
    grace: if it were judged by itself, one would go whenever a viewer leaves and the next viewer
    would have it started again. One at a time, since viewers leave in clusters and come back."""
    idle = _by_grace(state, rules, state.index.idle.ranks.get(NOBODY, ()))
    # Peers come in to one with a forwarded port: another one would be started for it.
    may_go = (r for r in idle if not (wanted and vpns.has_port(state, state.engines[r[1]])))
    longest = next(may_go, None)
    ranks = (ranks for _, ranks in with_room(state.index.idle, rules))
    free = _by_grace(state, rules, merge(*ranks))
    too_many = next(islice(free, wanted, None), None)
    if longest is not None and too_many is not None:
        going = (
            e.drain.since.mono + rules.drain_wait
            for e in state.uneasy_engines()
            if e.drain and e.drain.reason == SCALE_DOWN
        )
        due = max([too_many[0], *going])
        drain = Drain(*state.engines[longest[1]].ref, SCALE_DOWN)
        yield drain if now.mono >= due else due


def _by_grace(state: State, rules: Rules, idle: Iterable[Rank]) -> Iterator[Rank]:
    """When each has been idle for the grace, the soonest first. Few are handed out so late that
    they rest for longer."""
    later: list[Rank] = []
    for since, slot in idle:
        due = since + rules.engine_grace_period
        while later and later[0] < (due, slot):
            yield heappop(later)
        heappush(later, (max(due, rested_at(state.engines[slot], rules)), slot))
    yield from sorted(later)


def drain(state: State, action: Drain, now: Now) -> None:
    engine = state.current(action.slot, action.incarnation)
    if engine is None or engine.drain is not None:
        return
    if action.reason == UNHEALTHY:
        state.replaced = (*state.replaced[-len(state.engines) :], now)  # more never count
        succession.lost(state, engine, now)
    state.put(
        replace(
            engine,
            drain=Draining(action.reason, now),
            unlisted=engine.unlisted or now,
            claim=engine.claim if engine.handed else None,
        )
    )
    admission.turn_away(state, engine)
    state.tell("engine_draining", engine.slot, reason=action.reason)


def take_back(state: State, rules: Rules, action: TakeBack, now: Now) -> None:
    engine = state.current(action.slot, action.incarnation)
    if engine is None or engine.drain is None:
        return
    if not (may_be_taken_back(state, rules, engine) or maintenance.is_left_of_it(state, engine)):
        return
    state.tell(
        "drain_taken_back", engine.slot, seconds=round(now.mono - engine.drain.since.mono, 3)
    )
    is_off = engine.ready is not None and engine.health is not Health.HEALTHY
    state.put(replace(engine, drain=None, unlisted=engine.unlisted if is_off else None))


def drains(
    state: State, rules: Rules, uneasy: Iterable[Engine], now: Now
) -> Iterator[Stop | AskStreams | float]:
    """Stops a drained engine once nobody can still choose it and nothing on it moves."""
    for engine in uneasy:
        if engine.stop or not engine.incarnation:
            continue
        if engine.ready is None:
            grace_ends, ran_out = _grace_ends(engine, rules)
            if now.mono < grace_ends:
                yield grace_ends
            elif engine.probe.judged and engine.probe.judged.mono >= grace_ends:
                yield Stop(*engine.ref, START_TIMEOUT, f"not ready within {ran_out}")
                continue
        if engine.drain is None:
            continue
        due = _may_stop_at(engine, engine.drain, rules)
        looked = engine.drain.looked.mono if engine.drain.looked else -math.inf
        if now.mono < due:
            yield due
        elif engine.claim is not None:
            continue  # its lapse is a deadline of its own
        elif engine.slot not in state.playing or (engine.drain.idle and looked >= due):
            yield Stop(*engine.ref, engine.drain.reason)
        elif not engine.drain.looking:
            again = max(due, looked + rules.drain_look_again)
            yield AskStreams(*engine.ref) if now.mono >= again else again


def _grace_ends(engine: Engine, rules: Rules) -> tuple[float, str]:
    """And what ran out then. One more probe is due: it may be ready, and we were not there to
    ask."""
    grace, all_in_all = rules.startup_grace, rules.provision_timeout
    return min(
        (
            (engine.started or engine.created).mono + grace,
            f"the {grace:g} s of PROVISION_STARTUP_GRACE_S",
        ),
        (engine.created.mono + all_in_all, f"the {all_in_all:g} s of PROVISION_TIMEOUT_S"),
    )


def looked(state: State, rules: Rules, fact: StreamsAsked, now: Now) -> None:
    """A draining engine is idle when no stream moves. One look cannot tell for a stream that is
    still buffering; two can. Of streams it says nothing about it is idle when it is too ill to
    tell, or nobody was connected at two looks, the last not before it may be stopped."""
    engine = state.current(fact.slot, fact.incarnation)
    if engine is None or engine.drain is None:
        return
    streams = [s for s in state.started_on(engine.slot) if s.ref not in fact.unknown]
    told = [s for s in streams if s.ref in fact.samples]
    before = {s.ref: state.samples.get(s.id) for s in told}
    moving = any(b is None or fact.samples[ref].moved_since(b) for ref, b in before.items())
    hopeless = engine.health is Health.UNHEALTHY
    # What stands still may go on where nothing is wrong with the engine, and in a host that is to
    # become empty.
    is_hasty = state.maintenance is None and not rollout.is_going(engine)
    is_told = len(told) == len(streams) and is_hasty
    idle = not moving and (hopeless or is_told or _is_left(state, rules, engine))
    state.put(replace(engine, drain=replace(engine.drain, looking=False, looked=now, idle=idle)))


def _is_left(state: State, rules: Rules, engine: Engine) -> bool:
    """Sessions of the gateway end by themselves when nobody reads them; HLS needs no connection."""
    if any(s.gateway for s in state.started_on(engine.slot)):
        return False
    if engine.drain is None or callers.nobody_for(state, engine) <= 0:
        return False
    return state.callers[engine.ref].at >= _may_stop_at(engine, engine.drain, rules)


def _may_stop_at(engine: Engine, drain: Draining, rules: Rules) -> float:
    """Nobody can have just chosen it any more."""
    return (engine.unlisted or drain.since).mono + rules.drain_wait


def stop_retries(uneasy: Iterable[Engine], now: Now) -> Iterator[Stop | float]:
    for engine in uneasy:
        if engine.stop is not None and engine.stop.retry is not None:
            due = engine.stop.retry.mono
            again = Stop(*engine.ref, engine.stop.reason)
            yield again if now.mono >= due else due

"""What holds in every state, whatever facts led to it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from acekeeper.core import network, rollout
from acekeeper.core.actions import Action, Drain, Refusal, TakeBack, Try
from acekeeper.core.breaker import Circuit, circuit
from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Sign
from acekeeper.core.health import UNHEALTHY
from acekeeper.core.indexes import Ranking
from acekeeper.core.maintenance import MAINTENANCE
from acekeeper.core.model import Engine, Health, Now, Phase, Stream
from acekeeper.core.plan import Plan, plan
from acekeeper.core.rollout import REASONS
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

from . import vpn_invariants

_ROUNDS = 200
CACHED = 2.0  # for so long a client believes the list it read


def check(state: State, rules: Rules, now: Now) -> None:
    """After the plan has nothing more to do."""
    indexes(state)
    claims(state)
    engines(state)
    requests(state, rules, now)
    maintenance(state)
    vpn_invariants.check(state)


def maintenance(state: State) -> None:
    """While a host is to become empty nobody is given anything there; afterwards no engine is
    left that drains for it."""
    engines = [e for e in state.engines.values() if e.incarnation and not e.stop]
    if state.maintenance is None:
        assert not any(e.drain and e.drain.reason == MAINTENANCE for e in engines)
    else:
        assert all(e.drain for e in engines)
        assert not [r for r in state.requests.values() if not r.answered and r.slot is None]


def indexes(state: State) -> None:
    streams = state.streams.values()
    assert list(state.ended) == sorted(state.ended, key=lambda i: _ended(state.streams[i]))
    assert set(state.ended) == {s.id for s in streams if s.ended is not None}
    assert set(state.elsewhere) == {s.id for s in streams if s.ended is None and s.slot is None}
    playing: dict[object, set[str]] = {}
    for stream in streams:
        if stream.ended is None and stream.slot is not None:
            playing.setdefault(stream.slot, set()).add(stream.id)
    assert {where: set(ids) for where, ids in state.playing.items()} == playing
    engine_indexes(state)
    unmapped: dict[object, set[str]] = {}
    for stream_id in state.elsewhere:
        for place in state.streams[stream_id].places:
            unmapped.setdefault(place, set()).add(stream_id)
    assert {where: set(ids) for where, ids in state.unmapped.items()} == unmapped
    tokens = {t: s.id for s in sorted(streams, key=_ended) for t in s.tokens}
    assert state.tokens == tokens
    sessions: dict[object, set[str]] = {}
    signed = {i: (sign, at) for sign, ranks in state.signs.ranks.items() for at, i in ranks}
    assert signed.keys() <= state.readers.keys()
    for stream_id, reader in state.readers.items():
        stream = state.streams[stream_id]
        assert stream.gateway is not None
        signs = [reader.sign(is_hls=stream.gateway.is_hls)]
        if state.look and (stream.slot, stream.incarnation) in state.look.read:
            signs += [] if stream.gateway.is_hls else [(Sign.LOOK, 0.0)]
        assert signed.get(stream_id) in signs
        infohash = Content("infohash", stream.gateway.opening.infohash)
        for content in (Content(stream.key_type, stream.key), infohash):
            sessions.setdefault(content, set()).add(stream_id)
    assert {content: set(ids) for content, ids in state.sessions.items()} == sessions
    by_gateway = {s.id for s in streams if s.ended is None and s.gateway is not None}
    assert state.readers.keys() == by_gateway
    given: dict[str, set[str]] = {}
    for stream_id, reader in state.readers.items():
        given.setdefault(reader.player, set()).add(stream_id)
    assert {player: set(ids) for player, ids in state.given.items()} == given
    assert set(state.gone_on) == {i for i, r in state.readers.items() if r.replaced is not None}
    assert set(state.staying) == {ref for ref, c in state.callers.items() if c.staying}
    assert all(held and state.current(*ref) for ref, held in state.holds.items())
    assert state.samples.keys() <= state.streams.keys()
    on_ours = {i for ids in state.playing.values() for i in ids}
    assert state.heard.keys() <= on_ours
    known = {i: state.known(i) for i in on_ours}
    assert set(state.moving) == {i for i, s in known.items() if s and s.speed_down > 0}
    assert all(i == s.id for i, s in state.streams.items())
    assert all(s.ended is not None or s.id not in state.early_ends for s in streams)


def engine_indexes(state: State) -> None:
    """As a look at all engines finds them."""
    index, engines = state.index, state.engines.values()
    assert set(index.starting) == {e.slot for e in engines if e.phase is Phase.STARTING}
    assert set(index.accused) == {e.slot for e in engines if e.against}
    vacant = {
        e.slot
        for e in engines
        if (e.listed or (e.phase is Phase.STARTING and e.drain is None))
        and e.claim is None
        and e.slot not in state.playing
        and e.ref not in state.holds
        and not state.is_cut_off(e)
    }
    assert set(index.vacant) == vacant
    calm = {e.slot for e in engines if e.listed and e.settled and not (e.claim or e.probe.due)}
    assert {e.slot for e in engines if e.container_id} - set(index.uneasy) == calm
    ranks(index.containers, ((e.container_id, e.slot.port, e) for e in engines if e.container_id))
    ranks(index.made, ((e.made, e.slot.port, e) for e in engines if e.incarnation))
    ranks(index.handed, ((e.slot.host, e.handed.mono, e) for e in engines if e.handed))
    free = [(load(state, e), e) for e in engines if e.listed and e.claim is None]
    ranks(index.free, ((its, (e.free_since or e.created).mono, e) for its, e in free))
    ranks(index.idle, ((its, e.idle_since.mono, e) for its, e in free))


def load(state: State, engine: Engine) -> tuple[int, int]:
    streams = sum(s.ended is None and s.slot == engine.slot for s in state.streams.values())
    return streams, streams + len(state.holds.get(engine.ref, ()))


def ranks(ranking: Ranking[Any, Any], places: Iterable[tuple[object, float, Engine]]) -> None:
    found: dict[object, list[tuple[float, object]]] = {}
    for key, number, engine in places:
        found.setdefault(key, []).append((number, engine.slot))
    assert ranking.ranks == {key: sorted(of_it) for key, of_it in found.items()}


def _ended(stream: Stream) -> float:
    return stream.ended.mono if stream.ended else math.inf


def claims(state: State) -> None:
    """A claim and its request know of each other until the answer is given."""
    for engine in state.engines.values():
        if engine.claim is not None and engine.handed is None:
            request = state.requests[engine.claim]
            assert request.slot == engine.slot
            assert not request.answered
    for request in state.requests.values():
        if request.slot is not None and not request.answered:
            engine = state.engines[request.slot]
            assert engine.claim == request.id
            assert engine.handed is None


def engines(state: State) -> None:
    for where, engine in state.engines.items():
        assert engine.slot == where
        ready = engine.phase is Phase.RUNNING
        assert not engine.listed or (ready and engine.health is Health.HEALTHY)
        assert (engine.health is Health.UNHEALTHY) <= (engine.unhealthy is not None)
        assert engine.doubt is None or not engine.listed
        assert engine.doubt is None or not engine.doubt.giving_way or engine.doubt.trying
        assert engine.hunger is None or where in state.playing
        if engine.phase is Phase.STOPPING or engine.drain is not None:
            assert engine.claim is None or engine.handed is not None
        if engine.phase is Phase.STOPPING:
            assert engine.claim is None


def requests(state: State, rules: Rules, now: Now) -> None:
    """Every request is answered, or waits for a moment to come."""
    for request in state.requests.values():
        assert request.answered or now.mono < request.received.mono + rules.answer_within


def settled(state: State, rules: Rules, now: Now, deadline: float) -> None:
    """Until its deadline the plan does not change by itself."""
    before = min(deadline - now.mono, 1000.0) * 0.999
    if before > 0.001:
        later = plan(state, rules, now.after(before)).actions
        assert later == (), later


def plan_all(state: State, rules: Rules, now: Now, take: Callable[[Action], object]) -> Plan:
    """Takes what is to do until that is nothing, and checks the state then."""
    rounds = 0
    while (planned := plan(state, rules, now)).actions:
        rounds += 1
        assert rounds < _ROUNDS, f"no end of actions: {planned.actions}"
        for action in planned.actions:
            take(action)
        if planned.is_last:
            no_more(state, rules, now, planned.deadline)
    check(state, rules, now)
    settled(state, rules, now, planned.deadline)
    return planned


def no_more(state: State, rules: Rules, now: Now, deadline: float) -> None:
    """There is nothing to do until this deadline: no plan need be made to know it."""
    planned = plan(state, rules, now)
    assert planned.actions == ()
    assert planned.deadline >= deadline


def may_start(state: State, rules: Rules, now: Now) -> None:
    """Before a start is taken."""
    assert len(state.engines) < rules.max_replicas
    starting = [e for e in state.engines.values() if e.phase is Phase.STARTING]
    assert len(starting) < rules.max_concurrent_provisions
    assert not state.lacks
    last = state.last_start
    assert last is None or now.mono >= last.mono + rules.min_provision_interval
    assert network.start_from(state) <= now.mono
    where = circuit(state.breaker, rules, now)
    assert where is not Circuit.OPEN
    if where is Circuit.HALF_OPEN:
        assert not starting, "a second trial"


def may_take_back(state: State, action: TakeBack) -> None:
    """Before a drain is taken back: it has no fault, is well and at rest; or
    it is left of a maintenance."""
    engine = state.engines[action.slot]
    assert engine.incarnation == action.incarnation
    assert engine.drain is not None
    assert state.maintenance is None
    if engine.drain.reason == MAINTENANCE:
        assert engine.stop is None
        return
    assert engine.drain.reason in ("scale_down", *REASONS)
    assert engine.phase is Phase.RUNNING
    assert engine.health is Health.HEALTHY
    assert engine.doubt is None
    assert engine.claim is None


def may_be_renewed(state: State, rules: Rules, action: Drain) -> None:
    """Before an outdated engine is drained: as many others are free as are to be. Where there is no
    room for its successor one may be missing, and no second one."""
    engines = state.engines.values()
    free = sum(e.slot != action.slot and state.is_free(e, rules) for e in engines)
    going = any(rollout.is_to_go(e, state, rules) and e.slot not in state.playing for e in engines)
    missing = len(engines) >= rules.max_replicas and not going
    assert free >= rules.min_replicas - missing
    assert state.maintenance is None
    assert not rollout.stopped(state)


def may_replace(state: State, rules: Rules, now: Now) -> None:
    """Before an unhealthy engine is drained: a quarter at the most, or one, per cooldown."""
    assert state.connected
    lately = sum(
        engine.drain is not None
        and engine.drain.reason == UNHEALTHY
        and now.mono - engine.drain.since.mono < rules.replacement_cooldown
        for engine in state.engines.values()
    )
    assert lately + 1 <= max(1, len(state.engines) // 4)


def may_doubt(state: State) -> None:
    """After a doubt: a quarter at the most, or one, is off the list for a doubt alone."""
    doubted = sum(
        e.doubt is not None
        and e.phase is Phase.RUNNING
        and e.drain is None
        and e.health is not Health.UNHEALTHY
        for e in state.engines.values()
    )
    assert doubted <= max(1, len(state.engines) // 4)


def may_try(state: State, action: Try, now: Now) -> None:
    """Before a try: nobody plays there, and nobody can be about to."""
    engine = state.engines[action.slot]
    assert action.slot not in state.playing
    assert engine.claim is None
    assert not engine.listed
    assert not state.is_cut_off(engine)
    assert engine.unlisted is not None
    assert now.mono - engine.unlisted.mono >= CACHED
    assert engine.doubt is not None
    assert not engine.doubt.trying


def refusal(said: Refusal) -> None:
    """What a client makes of it (the wire contract, section 1)."""
    assert said.eta is None or (type(said.eta) is int and said.eta >= 1)
    assert not said.should_wait or said.eta in (1, 2, 3, 4)
    assert not (said.conflict and said.should_wait)

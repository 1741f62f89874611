"""Facts as they may come in the worst case: twice, late, out of order, contradicting each other."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acekeeper.core.actions import Action, Answer, Drain, Refuse, Start, TakeBack, Try
from acekeeper.core.apply import apply
from acekeeper.core.build import Build
from acekeeper.core.facts import (
    ActionTaken,
    AnswerDelivered,
    AnswerLost,
    BreakerReset,
    ConnectionsSeen,
    DrainRequested,
    EngineAnswered,
    EngineDied,
    EngineIdentified,
    EngineSilent,
    EnginesListed,
    EnginesSurveyed,
    EngineStarted,
    EngineStartFailed,
    EngineStopFailed,
    Fact,
    Found,
    MaintenanceOver,
    MaintenanceRequested,
    PlaybackAnswered,
    PlaybackFailed,
    ProvisionRequested,
    RuntimeChecked,
    RuntimeConnected,
    RuntimeLost,
    ScaleRequested,
    SourceAsked,
    StopRequested,
    StreamEnded,
    StreamsAsked,
    StreamStarted,
    StreamStopped,
    TimePassed,
    Verdict,
    VpnAnswered,
    VpnEnded,
    VpnFact,
    VpnSilent,
    VpnStarted,
    VpnTraffic,
    WayOutSeen,
)
from acekeeper.core.gateway.facts import PlayRequested, ReadersSeen
from acekeeper.core.model import Now, Phase
from acekeeper.core.names import PortPlan, Slot
from acekeeper.core.plan import may_change, plan
from acekeeper.core.restore import restore
from acekeeper.core.rollout import REASONS
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import Route, WayOut

from . import vpn_invariants
from .gateway import any_facts as gateway
from .invariants import (
    indexes,
    may_be_renewed,
    may_replace,
    may_start,
    may_take_back,
    may_try,
    plan_all,
    refusal,
)
from .world import HOST, MONO, WALL, rules, sample, slot, started

TIGHT = rules(
    ports=PortPlan(19000, 19003, 20000, 21000, 22000),
    addresses=(HOST, "192.0.2.5"),
    max_replicas=3,
    max_concurrent_provisions=2,
    breaker_threshold=2,
    breaker_timeout=20.0,
    health_failure_threshold=2,
    unmanaged_stream_ttl=50.0,
    remember_ended=40.0,
    keep_ended=3,
    rush_lasts=20.0,
)
BEHIND = replace(TIGHT, vpns=("de", "ch"), vpn_slots=2, vpn_port_settle=15.0)
START = Now(WALL, MONO)

slots = st.integers(0, 3).map(slot)
starts = st.sampled_from(["a", "b", "c", ""])
named = st.sampled_from(["a", "b", "c"])
requests = st.sampled_from(["r1", "r2", "r3", "r4"])
ids = st.sampled_from(["s1", "s2", "s3", "s4", "s5"])
refs = st.tuples(slots, named)
reasons = st.sampled_from(["", "eof", "timeout", "completed"])
container_ids = st.builds(lambda where, start: f"{where.port}-{start}", slots, starts) | st.just("")
addresses = st.tuples(
    st.sampled_from(["localhost", HOST, "elsewhere.example"]), st.integers(18999, 19004)
)


vpns = st.sampled_from(["de", "de", "ch", "gone"])
behind = st.none() | st.builds(Behind, vpns, named, st.sampled_from([0, 0, 51, 52]))
published = st.sampled_from([(HOST,), (HOST, "192.0.2.5"), ("192.0.2.6",)])
builds = st.sampled_from([Build(), Build("one", "a"), Build("one", "b"), Build("two", "c")])
ways_out = st.builds(
    WayOut,
    st.sampled_from([None, Route("192.0.2.1", "eth0", "192.0.2.5"), Route("", "tun0", "")])
    | st.just(Route("fe80::1", "eth0", "2001:db8::5", is_ipv4=False)),
    st.sampled_from([(), ("192.0.2.53",)]),
)


def found(
    where: Slot,
    incarnation: str,
    dying: bool,
    published: tuple[str, ...],
    build: Build,
    way: WayOut | None,
    behind: Behind | None = None,
) -> Found:
    name = f"{where.port}-{incarnation}"
    return Found(where, incarnation, name, dying, published, build, way, behind)


def listing(
    found: Iterable[Found],
    boot: str,
    build: Build = Build(),  # noqa: B008
) -> EnginesListed:
    by_slot = {f.slot: f for f in found}
    return EnginesListed(HOST, boot, START, tuple(by_slot.values()), build=build)


def stream_started(
    name: str, session: str, where: list[tuple[str, int]], container_id: str
) -> StreamStarted:
    return started(name, session=session, addresses=tuple(where), container_id=container_id)


def streams_asked(
    where: Slot, incarnation: str, told: dict[tuple[str, str], int | None]
) -> StreamsAsked:
    return StreamsAsked(
        where,
        incarnation,
        {i: sample(START, speed) for i, speed in told.items() if speed is not None},
        frozenset(i for i, speed in told.items() if speed is None),
    )


a_start = st.builds(
    stream_started,
    ids,
    st.sampled_from(["one", "two"]),
    st.lists(addresses, min_size=1, max_size=2),
    container_ids,
)
an_end = st.builds(StreamEnded, ids | st.just(""), container_ids, reasons)
facts: st.SearchStrategy[Fact] = st.one_of(
    st.just(RuntimeConnected()),
    st.just(RuntimeLost("bus")),
    st.builds(RuntimeChecked, st.sampled_from(["", "image"]), published),
    st.builds(WayOutSeen, ways_out),
    st.builds(SourceAsked, st.sampled_from(["podman", "connections"]), st.sampled_from(["", "x"])),
    st.builds(
        listing,
        st.lists(
            st.builds(
                found, slots, named, st.booleans(), published, builds, st.none() | ways_out, behind
            ),
            max_size=4,
        ),
        st.sampled_from(["boot-1", "boot-1", "boot-2"]),
        builds,
    ),
    st.builds(
        lambda s, n, at, build: EngineStarted(s, n, f"{s.port}-{n}", at, build),
        *(slots, named, published, builds),
    ),
    st.builds(lambda s, n: EngineStarted(s, n, ""), slots, named),
    st.builds(EngineStartFailed, slots, st.just("why"), st.booleans()),
    st.builds(EngineIdentified, slots, starts, container_ids),
    st.builds(EngineDied, slots, starts, st.just("killed")),
    st.builds(EngineStopFailed, slots, starts, st.just("bus")),
    st.builds(EngineAnswered, slots, starts),
    st.builds(EngineSilent, slots, starts, st.just("timeout"), st.booleans()),
    st.builds(EnginesSurveyed, st.lists(refs, max_size=4).map(tuple)),
    st.builds(
        streams_asked,
        slots,
        starts,
        st.dictionaries(
            st.tuples(ids, st.sampled_from(["one", "two"])), st.sampled_from([None, 0, 5])
        ),
    ),
    st.builds(PlaybackAnswered, slots, starts, st.sampled_from(Verdict)),
    st.builds(PlaybackFailed, slots, starts, st.just("hangs"), st.booleans()),
    st.builds(
        lambda callers: ConnectionsSeen(START, callers),
        st.dictionaries(refs, st.frozensets(st.sampled_from(["x", "y"]))),
    ),
    st.builds(ProvisionRequested, requests, st.sampled_from([None, None, 19001, 19009])),
    st.builds(AnswerDelivered, requests),
    st.builds(AnswerLost, requests),
    a_start,
    an_end,
    st.builds(StreamStopped, ids, st.sampled_from(["one", "two"])),
    st.builds(DrainRequested, slots, starts),
    st.builds(StopRequested, slots, starts),
    st.builds(ScaleRequested, st.integers(0, 4)),
    st.just(BreakerReset()),
    st.just(MaintenanceRequested()),
    st.just(MaintenanceOver()),
    st.just(TimePassed()),
    gateway.facts,
)
vpn_facts: st.SearchStrategy[Fact] = st.one_of(
    st.builds(VpnStarted, vpns, named),
    st.builds(VpnEnded, vpns, starts, st.sampled_from(["", "killed"])),
    st.builds(
        VpnAnswered,
        vpns,
        named,
        st.sampled_from([True, True, False]),
        port=st.sampled_from([None, 0, 51, 52]),
    ),
    st.builds(VpnSilent, vpns, named, st.just("timeout"), st.booleans()),
    st.builds(
        lambda vpn, start, received, sent: VpnTraffic(vpn, start, received, sent, 0.0),
        *(vpns, named, st.integers(0, 2), st.integers(0, 9)),
    ),
)
"""What moves a pool along, so that a search gets beyond an empty one."""
pauses = st.sampled_from([0.0, 0.0, 0.0, 0.125, 0.5, 1.0, 3.0, 11.0, 31.0, 61.0]) | st.floats(0, 70)
likely = st.builds(ProvisionRequested, requests) | st.just(RuntimeConnected()) | a_start | an_end
steps = st.lists(st.tuples(pauses, likely | facts), max_size=60)
connected = st.builds(VpnStarted, vpns, st.just("a")) | st.builds(
    VpnAnswered, vpns, st.just("a"), st.just(True), port=st.sampled_from([None, 51])
)
with_vpns = st.lists(st.tuples(pauses, likely | facts | vpn_facts | connected), max_size=60)


@dataclass(slots=True)
class Run:
    rules: Rules = TIGHT
    state: State = field(default_factory=State)
    now: Now = START
    asked: set[str] = field(default_factory=set)  # requests nobody has answered yet
    begun: int = 0

    def step(self, pause: float, fact: Fact) -> None:
        self.now = self.now.after(pause)
        if isinstance(fact, EnginesListed):
            fact = replace(fact, as_of=self.now.after(-0.1))
        if isinstance(fact, ConnectionsSeen | ReadersSeen):
            fact = replace(fact, at=self.now)
        if isinstance(fact, VpnTraffic):
            fact = replace(fact, at=self.now.mono)
        if isinstance(fact, PlayRequested):
            fact = replace(fact, received=self.now)
        if isinstance(fact, ProvisionRequested) and fact.request not in self.state.requests:
            self.asked.add(fact.request)
        if isinstance(fact, AnswerLost):
            self.asked.discard(fact.request)
        before = plan(self.state, self.rules, self.now)
        stale = self._speaks_of_another_start(fact)
        engines, streams = dict(self.state.engines), dict(self.state.streams)
        changes = apply(self.state, self.rules, fact, self.now)
        if not may_change(fact, changes):
            after = plan(self.state, self.rules, self.now)
            assert set(after.actions) <= set(before.actions)
            assert after.deadline >= before.deadline
        if stale:
            assert self.state.engines == engines
        if stale or isinstance(fact, VpnFact):
            assert self.state.streams == streams
        if isinstance(
            fact, StreamStarted | StreamEnded | EngineDied | EngineAnswered | PlaybackAnswered
        ):
            streams = dict(self.state.streams)
            apply(self.state, self.rules, fact, self.now)
            assert self.state.streams == streams, "told twice is told once"
        self.settle()

    def settle(self) -> None:
        planned = plan_all(self.state, self.rules, self.now, self._take)
        assert self.asked == {r.id for r in self.state.requests.values() if not r.answered}
        if planned.deadline <= self.now.mono:
            apply(self.state, self.rules, TimePassed(), self.now)
            again = plan(self.state, self.rules, self.now)
            assert again.actions or again.deadline > self.now.mono, "the alarm rings without end"

    def _take(self, action: Action) -> None:
        match action:
            case Start():
                may_start(self.state, self.rules, self.now)
                vpn_invariants.may_start(self.state, self.rules, action)
                self.begun += 1
            case Drain(reason="unhealthy"):
                may_replace(self.state, self.rules, self.now)
            case Drain(reason=reason) if reason in REASONS:
                may_be_renewed(self.state, self.rules, action)
            case TakeBack():
                may_take_back(self.state, action)
            case Try():
                may_try(self.state, action, self.now)
            case Answer(request):
                where = self.state.requests[request].slot
                assert where is not None
                engine = self.state.engines[where]
                assert engine.container_id
                assert engine.phase is not Phase.STOPPING
                assert engine.drain is None
                self.asked.remove(request)
            case Refuse(request, said):
                refusal(said)
                self.asked.remove(request)
            case _:
                pass
        apply(self.state, self.rules, ActionTaken(action), self.now)
        if isinstance(action, Start):
            vpn_invariants.is_given(self.state, self.rules, action)

    def _speaks_of_another_start(self, fact: Fact) -> bool:
        match fact:
            case (
                EngineIdentified(where, incarnation)
                | EngineDied(where, incarnation)
                | EngineStopFailed(where, incarnation)
                | EngineAnswered(where, incarnation)
                | EngineSilent(where, incarnation)
                | PlaybackAnswered(where, incarnation)
                | PlaybackFailed(where, incarnation)
                | StreamsAsked(where, incarnation)
                | DrainRequested(where, incarnation)
                | StopRequested(where, incarnation)
            ):
                return self.state.current(where, incarnation) is None
            case (
                VpnAnswered(vpn, incarnation)
                | VpnSilent(vpn, incarnation)
                | VpnTraffic(vpn, incarnation)
            ):
                known = self.state.vpns.get(vpn)
                return known is None or known.incarnation != incarnation
            case _:
                return False


@given(steps)
def test_no_facts_corrupt_the_state(steps: list[tuple[float, Fact]]) -> None:
    run = Run()
    run.step(0, RuntimeConnected())
    run.step(0, listing([], "boot-1"))
    run.step(0, EnginesSurveyed(()))
    for pause, fact in steps:
        run.step(pause, fact)


@given(with_vpns, st.sampled_from([BEHIND, BEHIND, TIGHT]))
def test_no_facts_corrupt_a_state_with_vpns(steps: list[tuple[float, Fact]], rules: Rules) -> None:
    run = Run(rules)
    run.step(0, RuntimeConnected())
    run.step(0, listing([], "boot-1"))
    run.step(0, VpnStarted("de", "a"))
    run.step(0, VpnAnswered("de", "a", is_healthy=True, port=51))
    run.step(0, EnginesSurveyed(()))
    run.step(0, EngineStarted(slot(0), "a", "19000-a"))
    run.step(0, EngineAnswered(slot(0), "a"))
    for pause, fact in steps:
        run.step(pause, fact)


@given(steps)
def test_no_facts_corrupt_a_state_that_is_not_ready(steps: list[tuple[float, Fact]]) -> None:
    run = Run()
    for pause, fact in steps:
        run.step(pause, fact)
        if not run.state.listed:
            assert run.begun == 0


@given(steps)
def test_what_was_stored_is_listed_again(steps: list[tuple[float, Fact]]) -> None:
    run = Run()
    run.step(0, RuntimeConnected())
    run.step(0, listing([], "boot-1"))
    for pause, fact in steps:
        run.step(pause, fact)
    before = run.state
    run.state = restore(
        run.rules,
        run.now,
        before.engines.values(),
        sorted(before.streams.values(), key=lambda s: (s.ended or s.started).mono),
        ((ref, hold) for ref, held in before.holds.items() for hold in held),
        before.early_ends.items(),
        before.breaker,
        before.boot,
        before.at_least,
    )
    run.asked.clear()
    indexes(run.state)
    there = [
        Found(e.slot, e.incarnation, e.container_id)
        for e in before.engines.values()
        if e.incarnation
    ]
    run.step(0, RuntimeConnected())
    run.step(0, listing(there, before.boot))
    assert listed(run.state) == listed(before)
    assert started_ids(run.state) == started_ids(before)


def listed(state: State) -> set[Slot]:
    return {e.slot for e in state.engines.values() if e.listed}


def started_ids(state: State) -> set[str]:
    return {s.id for s in state.streams.values() if s.ended is None}


@given(steps, facts)
def test_planning_changes_nothing(steps: list[tuple[float, Fact]], fact: Fact) -> None:
    run = Run()
    for pause, step in steps:
        run.step(pause, step)
    apply(run.state, run.rules, fact, run.now)
    before = deepcopy(run.state)
    assert plan(run.state, run.rules, run.now) == plan(run.state, run.rules, run.now)
    assert run.state == before

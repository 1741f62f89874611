"""Random days of a pool behind VPNs that are as bad as its engines."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acekeeper.core.facts import RuntimeConnected, Verdict
from acekeeper.core.model import Phase

from .test_any_day import SMALL, Day, deeds, pauses
from .vpn_world import VpnWorld
from .world import Script

BEHIND = replace(SMALL, vpns=("de", "ch"), vpn_slots=3, vpn_port_settle=15.0)
names = st.sampled_from(BEHIND.vpns)
ports = st.sampled_from([None, 0, 51, 52])
vpn_deeds = st.one_of(
    st.tuples(st.just("up"), names, ports),
    st.tuples(st.just("end"), names),
    st.tuples(st.just("answer"), names, st.booleans(), ports),
    st.tuples(st.just("answer"), names, st.just(True), ports),
    st.tuples(st.just("silence"), names, st.booleans()),
    st.tuples(st.just("count"), names, st.integers(0, 1), st.integers(0, 1)),
)
VpnDay = list[tuple[tuple[object, ...], float]]
days = st.lists(st.tuples(deeds | vpn_deeds, pauses), max_size=40)


class Lived(Day):
    """With VPNs; both are up when it begins."""

    world: VpnWorld

    def do(self, deed: str, *details: object) -> None:
        world = self.world
        name = details[0] if details and isinstance(details[0], str) else ""
        if deed == "up" and name not in world.vpn_starts:
            world.up(name, port=of_port(details[1]))
        elif deed == "up" or (name and name not in world.vpn_starts):
            pass
        elif deed == "end":
            world.end_unit(name)
        elif deed == "answer":
            world.answer(name, is_healthy=bool(details[1]), port=of_port(details[2]))
        elif deed == "silence":
            world.silence(name, excused=bool(details[1]))
        elif deed == "count":
            traffic = world.vpn(name).traffic
            received, sent = (traffic.received, traffic.sent) if traffic else (0, 0)
            world.count(name, received + of(details[1]), sent + of(details[2]))
        else:
            super().do(deed, *details)


def of(detail: object) -> int:
    assert isinstance(detail, int)
    return detail


def of_port(detail: object) -> int | None:
    return None if detail is None else of(detail)


def live(day: VpnDay) -> Lived:
    lived = Lived(VpnWorld(BEHIND))
    lived.world.connect()
    for name in BEHIND.vpns:
        lived.world.up(name, port=51)
    for (deed, *details), pause in day:
        lived.do(str(deed), *details)
        lived.world.run(pause)
        assert len(lived.world.state.engines) <= BEHIND.max_replicas
        there = Counter(e.behind for e in lived.world.outside.values())
        assert all(n == 1 for behind, n in there.items() if behind and behind.forwarded)
    return lived


@given(days)
def test_every_request_is_answered_in_time(day: VpnDay) -> None:
    lived = live(day)
    lived.world.run(3)
    for name, asked in lived.asked_at.items():
        if name not in lived.abandoned:
            assert lived.world.answered_at[name] - asked <= BEHIND.answer_within + 1e-6


@given(days)
def test_no_stream_is_cut_by_us_and_none_ends_but_by_its_viewer_or_with_its_engine(
    day: VpnDay,
) -> None:
    lived = live(day)
    assert lived.world.cut == set()
    for stream in lived.world.state.streams.values():
        engine = lived.world.outside.get(stream.slot) if stream.slot else None
        is_there = engine is not None and engine.incarnation == stream.incarnation
        assert stream.ended is None or not is_there or not stream.reason.startswith("engine_")


@given(days)
def test_left_alone_with_tunnels_it_comes_to_rest(day: VpnDay) -> None:
    world = live(day).world
    for name in [s.id for s in world.state.streams.values() if s.ended is None]:
        world.leave(name)
    for engine in world.outside.values():
        engine.hung = False
        engine.plays = Verdict.PLAYS
    world.script = Script()
    world.tell(RuntimeConnected())
    for name in BEHIND.vpns:
        if name in world.vpn_starts:
            world.count(name, 10**6, 0)  # of a tunnel made anew
            world.answer(name, port=51)
        else:
            world.up(name, port=51)
    world.list_engines(world.running())
    world.run(1200)
    state = world.state
    assert sorted(e.behind.vpn for e in state.engines.values() if e.behind) == ["ch", "de"]
    assert len(world.forwarded()) == len(world.listed()) == 2
    assert all(e.phase is Phase.RUNNING for e in state.engines.values())
    assert set(world.outside) == set(state.engines)
    assert world.planned.deadline == math.inf

"""What becomes of the engines behind VPNs, and behind which one the next starts."""

from math import inf

import pytest
from msgspec.structs import replace

from acekeeper.core import admission, vpns
from acekeeper.core.actions import Code, Drain, Refusal
from acekeeper.core.facts import (
    EngineDied,
    Found,
    Verdict,
    VpnEnded,
    VpnStarted,
)
from acekeeper.core.model import Health
from acekeeper.core.restore import restore
from acekeeper.core.rules import Rules
from acekeeper.core.vpn import Behind

from .vpn_world import ONE, TWO, VpnWorld, world_of
from .world import RULES, Outside, World, rules, slot


def where(world: VpnWorld) -> dict[str, int]:
    """How many engines are behind each."""
    return {name: len(world.behind(name)) for name in world.rules.vpns}


def streams(world: World) -> set[str]:
    return {s.id for s in world.state.streams.values() if s.ended is None}


# Where engines start.


def test_no_engine_starts_before_a_vpn_has_a_tunnel() -> None:
    world = VpnWorld()
    world.connect()
    world.run(60)
    world.start_unit("ch")
    world.run(60)
    assert world.state.engines == {}
    world.request("r")
    said = world.refused("r")
    assert (said.code, said.should_wait) == (Code.VPN_DISCONNECTED, True)
    assert said.message == "no VPN has a tunnel: de is not known yet, ch is connecting"
    world.answer("ch")
    world.run(10)
    assert where(world) == {"de": 0, "ch": 1}
    assert world.listed() == [4]
    assert world.engine(4).behind == Behind("ch", "ch-1")


def test_clients_are_told_that_no_vpn_has_a_tunnel_once_each_was_asked() -> None:
    """They believe it for half a minute, and the first answers come within seconds."""
    world = VpnWorld()
    world.connect()

    def blocked() -> Refusal | None:
        return admission.blocked(world.state, world.rules, world.now)

    assert blocked() is None
    world.start_unit("de")
    world.start_unit("ch")
    world.answer("de", is_healthy=False)
    assert blocked() is None
    world.answer("ch", is_healthy=False)
    said = blocked()
    assert said is not None
    assert said.message == "no VPN has a tunnel: de is connecting, ch is connecting"


def test_engines_are_spread_over_those_with_a_tunnel() -> None:
    world = world_of(4)
    assert where(world) == {"de": 2, "ch": 2}
    assert world.listed() == [0, 1, 4, 5]


def test_the_ports_of_no_vpn_are_not_used() -> None:
    world = VpnWorld(replace(ONE, min_replicas=9, max_replicas=9))
    world.up("de")
    world.connect()
    world.run(60)
    assert world.listed() == [0, 1, 2, 3]
    for n in (4, 99, 100):
        world.request(f"r{n}", port=19000 + n)
        said = world.refused(f"r{n}")
        assert said.conflict
        assert said.message == f"host_port {19000 + n} is in use or outside 19000-19003"


def test_a_port_is_asked_for_whose_vpn_has_no_tunnel() -> None:
    world = world_of(0)
    world.answer("de", is_healthy=False)
    world.request("r1", port=19001)
    said = world.refused("r1")
    assert (said.code, said.conflict) == (Code.VPN_DISCONNECTED, False)
    assert said.message == "the VPN of port 19001 has no tunnel: de is lost"
    world.request("r2", port=19005)
    world.run(3)
    behind = world.given("r2").behind
    assert behind is not None
    assert behind.vpn == "ch"


def test_where_every_port_of_those_with_a_tunnel_is_taken_nothing_more_is_to_be_had() -> None:
    world = world_of(6)
    world.end_unit("de")
    world.run(60)
    for n in world.listed():
        world.play(slot(n), f"s{n}")
    world.run(60)
    assert where(world) == {"de": 0, "ch": 4}
    assert len(streams(world)) == 4
    world.request("r")
    assert world.refused("r").code is Code.MAX_CAPACITY
    said = admission.blocked(world.state, world.rules, world.now)
    assert said is not None
    assert said.message == "every port that may have an engine has one"


def test_without_vpns_engines_are_behind_none() -> None:
    world = World()
    world.connect()
    world.run(20)
    assert world.engine(0).behind is None
    assert vpns.refusal(world.state, RULES) is None
    assert vpns.troubles(world.state, RULES, world.now) == []


# The tunnel is lost, and back.


@pytest.mark.parametrize("how", ["lost", "dead", "silent"])
def test_engines_of_a_lost_tunnel_leave_the_list_and_what_plays_goes_on(how: str) -> None:
    world = world_of(4)
    world.play(slot(0), "s")
    world.count("de", 5, 5)
    world.run(60)
    before = dict(world.outside)
    if how == "lost":
        world.answer("de", is_healthy=False)
    elif how == "silent":
        world.silence("de")
    else:
        for n in (1, 2):
            world.run(5.5)
            world.count("de", 5, 5 + n)
    assert all(n >= 4 for n in world.listed())
    world.run(8)
    assert len(world.listed()) == 4
    assert where(world) == {"de": 3, "ch": 4}
    for _ in range(30):
        world.run(10)
        world.survey()
        world.sweep_streams()
    assert streams(world) == {"s"}
    assert set(before) <= set(world.outside)
    assert world.state.breaker.failures == 0
    assert not [k for k in world.kinds() if k in ("engine_suspected", "engine_unhealthy")]


def test_engines_are_listed_again_after_one_good_probe_each() -> None:
    world = world_of(4)
    world.answer("de", is_healthy=False)
    assert world.listed() == [4, 5]
    world.outside[slot(1)].hung = True
    world.run(1)
    world.answer("de")
    assert world.listed() == [4, 5]
    world.run(0.1)
    assert world.listed() == [0, 4, 5]
    world.outside[slot(1)].hung = False
    world.run(7)
    assert {0, 1, 4, 5} <= set(world.listed())


def test_a_tunnel_that_flaps_starts_and_stops_next_to_nothing() -> None:
    world = world_of(4)
    for _ in range(30):
        world.answer("de", is_healthy=False)
        world.run(3)
        world.answer("de")
        world.run(3)
    world.run(300)
    assert len(world.starts()) <= 2
    assert len(world.stops()) == len(world.starts())
    assert len(world.listed()) == 4


def test_silence_of_one_that_is_cut_off_is_no_fault_of_it() -> None:
    world = world_of(2)
    world.answer("de", is_healthy=False)
    world.outside[slot(0)].hung = True
    for _ in range(20):
        world.run(20)
        world.survey()
    assert world.engine(0).health is Health.UNKNOWN
    assert world.engine(0).probe.failures == 0


def test_one_that_outlived_its_vpn_is_judged_as_any_other() -> None:
    world = world_of(2)
    world.tell(VpnEnded("de", "de-1"))
    world.outside[slot(0)].hung = True
    for _ in range(20):
        world.run(20)
        world.survey()
    assert slot(0) not in world.state.engines


def test_who_was_promised_an_engine_that_is_cut_off_gets_another() -> None:
    world = world_of(0)
    world.script.named_after = 5
    world.request("r1")
    world.run(0.1)
    world.script.named_after = 0.2
    world.request("r2", port=19001)
    world.answer("de", is_healthy=False)
    world.run(3)
    assert world.given("r1").slot.port >= 19004
    assert world.refused("r2").code is Code.VPN_DISCONNECTED


def test_a_start_behind_a_lost_tunnel_is_not_counted_on() -> None:
    world = world_of(0, TWO)
    world.rules = replace(world.rules, min_replicas=1)
    world.script.ready_after = inf
    world.survey()
    assert [a.slot for a in world.starts()] == [slot(0)]
    world.run(1)
    world.script.ready_after = 6
    world.answer("de", is_healthy=False)
    world.run(1)
    assert [a.slot for a in world.starts()] == [slot(0), slot(4)]
    world.run(60)  # it did not get ready in time: nothing of its own
    assert set(world.state.engines) == {slot(4)}
    assert "engine_start_failed" in world.kinds()
    assert world.state.breaker.failures == 0


def test_a_start_behind_a_lost_tunnel_counts_again_with_the_tunnel() -> None:
    world = world_of(1, ONE)
    world.play(slot(0))
    world.run(1)
    assert world.starts()
    world.answer("de", is_healthy=False)
    world.run(20)
    assert world.listed() == []
    assert world.engine(1).ready is not None
    world.answer("de")
    world.run(1)
    assert world.listed() == [0, 1]
    assert len(world.starts()) == 1


def test_a_doubted_engine_is_not_tried_while_it_is_cut_off() -> None:
    world = world_of(2)
    world.outside[slot(0)].plays = None
    world.play(slot(0), "s", moving=False)
    world.run(3)
    world.leave("s", "timeout")
    assert world.engine(0).doubt
    world.answer("de", is_healthy=False)
    world.run(120)
    assert world.tries() == []
    assert world.engine(0).doubt
    world.outside[slot(0)].plays = Verdict.PLAYS
    world.answer("de")
    world.run(10)
    assert world.tries()
    assert 0 in world.listed()


# The unit ends, and starts again.


def test_engines_that_went_with_their_vpn_are_replaced_on_others_and_no_failures() -> None:
    world = world_of(4)
    world.play(slot(0), "s")
    world.run(7)
    world.happened.clear()
    world.end_unit("de")
    died = [h.data for h in world.happened if h.kind == "engine_died"]
    assert [d["cause"] for d in died] == ["vpn"] * len(died) != []
    assert not any(d["early"] for d in died)
    assert world.state.streams["s"].reason == "engine_died:vpn"
    assert world.state.breaker.failures == 0
    world.run(10)
    assert where(world) == {"de": 0, "ch": 4}
    world.up("de")
    world.run(300)
    assert len(world.listed()) == 4


def test_its_engines_are_off_the_list_before_they_are_dead() -> None:
    world = world_of(2)
    world.tell(VpnEnded("de", "de-1", "killed"))
    assert world.listed() == [4]
    world.tell(EngineDied(slot(0), world.engine(0).incarnation, "exited"))
    died = next(h for h in world.happened if h.kind == "engine_died")
    assert died.data["cause"] == "vpn"


def test_starts_that_a_restart_of_the_vpn_broke_do_not_open_the_breaker() -> None:
    world = VpnWorld(replace(ONE, min_replicas=2, breaker_threshold=1))
    world.connect()
    for _ in range(5):
        world.up("de")
        world.run(0.1)
        world.vpn_starts["de"] = "another"
        world.run(0.5)
        world.tell(VpnEnded("de"))
    assert world.kinds().count("engine_start_failed") >= 3
    assert world.state.breaker.failures == 0
    world.up("de")
    world.run(20)
    assert len(world.listed()) == 2


def test_engines_of_the_next_start_are_not_those_of_the_last() -> None:
    world = world_of(1, ONE)
    world.script.named_after = 2
    world.play(slot(0))
    world.run(1)
    world.start_unit("de")  # while one starts, and nobody told of an end
    assert world.listed() == []
    world.answer("de")
    world.run(0.1)
    assert world.listed() == []  # those of the first start reach nobody
    world.die_behind("de", "de-1")
    world.run(20)
    assert [e.behind.start for e in world.behind("de") if e.behind] == ["de-2"]
    assert len(world.listed()) == 1


# acekeeper is restarted.


def again(world: VpnWorld, of: Rules | None = None) -> VpnWorld:
    """What ran is found again; of the VPNs nothing is known yet."""
    state = restore(
        of or world.rules,
        world.now,
        world.state.engines.values(),
        world.state.streams.values(),
        boot="boot-1",
    )
    new = VpnWorld(of or world.rules, state=state)
    new.now, new.outside, new.vpn_starts = world.now, world.outside, world.vpn_starts
    return new


def test_after_a_restart_engines_stay_listed_while_nothing_is_known_of_their_vpn() -> None:
    world = again(world_of(4, de=51))
    assert world.listed() == [0, 1, 4, 5]
    for name, start in world.vpn_starts.items():
        world.tell(VpnStarted(name, start))
    world.connect(world.running())
    world.silence("de", excused=True)
    assert world.listed() == [0, 1, 4, 5]
    assert world.forwarded() == []
    world.answer("de", port=51)
    world.answer("ch")
    world.run(300)
    assert world.listed() == [0, 1, 4, 5]
    assert world.forwarded() == [0]
    assert [*world.starts(), *world.stops()] == []


@pytest.mark.parametrize("how", ["no tunnel", "silent", "ended", "another start"])
def test_after_a_restart_engines_leave_the_list_once_their_vpn_is_known_to_be_lost(
    how: str,
) -> None:
    world = again(world_of(4))
    if how == "ended":
        world.tell(VpnEnded("de"))
    elif how == "another start":
        world.tell(VpnStarted("de", "de-2"))
    else:
        world.tell(VpnStarted("de", world.vpn_starts["de"]))
        if how == "silent":
            world.silence("de")
        else:
            world.answer("de", is_healthy=False)
    assert world.listed() == [4, 5]


def test_engines_that_are_found_are_behind_what_they_joined() -> None:
    world = VpnWorld(replace(TWO, min_replicas=0, auto_delete=False))
    world.up("de", port=51)
    found = [
        Found(slot(0), "a", "id-a", behind=Behind("de", "de-1", 51)),
        Found(slot(1), "b", "id-b", behind=Behind("de", "de-0")),
    ]
    for one in found:
        world.outside[one.slot] = Outside(
            one.slot, one.incarnation, one.container_id, 0.0, behind=one.behind
        )
    world.connect(found)
    world.run(5)
    assert world.listed() == [0]
    assert world.forwarded() == [0]


# VPNS is changed.


def outside_of_all() -> VpnWorld:
    """Three engines, a stream on the last one; then VPNS is set."""
    old = World(rules(min_replicas=3))
    old.connect()
    old.run(30)
    old.play(slot(2), "s")
    old.run(30)
    world = VpnWorld(replace(TWO, min_replicas=3), state=old.state)
    world.now, world.outside = old.now, old.outside
    return world


def test_engines_outside_the_vpns_are_replaced_when_nobody_plays_on_them() -> None:
    world = outside_of_all()
    world.up("de")
    world.up("ch")
    world.run(300)
    assert [e.slot for e in world.state.engines.values() if e.behind is None] == [slot(2)]
    assert streams(world) == {"s"}
    world.leave("s")
    world.run(300)
    assert all(e.behind for e in world.state.engines.values())
    assert len(world.listed()) == 3
    (began, *_) = [h for h in world.happened if h.kind == "rollout_began"]
    assert began.data["reasons"] == ["vpn_changed"]


@pytest.mark.parametrize("tunnels", [0, 1])
def test_nobody_is_sent_to_an_engine_outside_the_vpns(tunnels: int) -> None:
    """Not even until there are others, or while no VPN has a tunnel."""
    world = outside_of_all()
    for name in TWO.vpns[:tunnels]:
        world.up(name)
    world.connect(world.running())
    assert not world.listed()
    assert streams(world) == {"s"}
    world.run(120)
    assert [e.slot for e in world.state.engines.values() if e.behind is None] == [slot(2)]
    assert len(world.listed()) == 3 * tunnels
    assert streams(world) == {"s"}


@pytest.mark.parametrize("port", [19000, 19050])
def test_behind_none_is_elsewhere_whatever_the_port(port: int) -> None:
    world = world_of(1)
    engine = replace(world.engine(0), behind=None, slot=slot(port - 19000))
    assert vpns.is_elsewhere(engine, world.state, TWO)
    assert not vpns.is_elsewhere(engine, world.state, RULES)
    behind = replace(engine, behind=Behind("de", "de-1"))
    assert vpns.is_elsewhere(behind, world.state, RULES)
    assert vpns.is_elsewhere(behind, world.state, TWO) is (port != 19000)


# Every place is taken.


def test_engines_that_are_cut_off_give_way_to_starts_behind_another_vpn() -> None:
    full = replace(TWO, max_replicas=4)
    world = world_of(4, full)
    world.play(slot(0), "s")
    world.play(slot(4), "t")
    world.play(slot(5), "u")
    world.rules = replace(full, min_replicas=1)
    world.answer("de", is_healthy=False)
    world.run(120)
    drains = [a for a in world.taken if isinstance(a, Drain)]
    assert [(a.slot, a.reason) for a in drains] == [(slot(1), "vpn")]
    assert streams(world) == {"s", "t", "u"}
    assert where(world) == {"de": 1, "ch": 3}


def test_only_as_many_give_way_as_are_lacking() -> None:
    full = replace(TWO, vpn_slots=8, max_replicas=8)
    world = world_of(8, full)
    world.rules = replace(full, min_replicas=5)
    world.answer("de", is_healthy=False)
    world.run(1)
    assert sum(isinstance(a, Drain) for a in world.taken) == 1
    world.run(120)
    assert where(world) == {"de": 3, "ch": 5}


def test_without_free_ones_wanted_one_gives_way_when_there_is_nothing_to_give() -> None:
    full = replace(TWO, max_replicas=2)
    world = world_of(2, full)
    world.rules = replace(full, min_replicas=0)
    world.play(slot(4), "s")
    world.answer("de", is_healthy=False)
    world.run(60)
    assert set(world.state.engines) == {slot(4)}
    world.request("r")
    world.run(3)
    assert world.given("r").slot.port >= 19005


def test_nobody_gives_way_where_no_other_vpn_has_a_tunnel() -> None:
    world = world_of(4, ONE)
    world.answer("de", is_healthy=False)
    world.run(600)
    assert world.taken == []
    assert len(world.state.engines) == 4


# Breaker and starts.


def test_a_death_while_cut_off_is_no_failure() -> None:
    world = world_of(0)
    world.rules = replace(world.rules, min_replicas=1)
    world.survey()
    world.run(1)
    world.answer("de", is_healthy=False)
    world.die(slot(0), "exited")
    assert world.state.breaker.failures == 0
    world.run(7)
    world.die(slot(4), "exited")
    assert world.state.breaker.failures == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_start_that_fails_behind_a_lost_tunnel_is_no_failure(lost: bool) -> None:
    world = world_of(0)
    world.rules = replace(world.rules, min_replicas=1)
    world.script.fails = "exit status 1"
    world.survey()
    if lost:
        world.answer("de", is_healthy=False)
        world.answer("ch", is_healthy=False)
    world.run(0.4)
    assert (world.state.breaker.failures == 0) is lost


# What is said of it.


def test_troubles_name_each_vpn_that_has_one_and_why() -> None:
    world = world_of(0, ch=51)

    def said() -> list[str]:
        return vpns.troubles(world.state, world.rules, world.now)

    assert said() == []
    world.silence("de")
    (one,) = said()
    assert one.startswith("vpn de: it does not answer")
    assert one.endswith("(timeout)")
    world.answer("de", is_healthy=False)
    assert said()[0].startswith("vpn de: it lost its tunnel")
    world.answer("de")
    world.count("de", 10, 10)
    world.run(1)
    world.count("de", 20, 10)
    world.silence("de")  # something came meanwhile
    assert said() == ["vpn de: it has a tunnel, but does not answer (timeout)"]
    world.answer("de")
    world.answer("ch", port=0)
    world.run(299)
    assert said() == []
    world.run(1)
    assert said() == ["vpn ch: its provider forwards no port any more"]
    world.answer("ch", port=51)
    world.end_unit("ch")
    assert said()[0].startswith("vpn ch: it does not run")
    world.start_unit("ch")
    assert said()[0].startswith("vpn ch: it has no tunnel yet")

"""One engine of each VPN has the port that its provider forwards."""

import pytest
from msgspec.structs import replace

from acekeeper.core import vpns
from acekeeper.core.actions import Drain
from acekeeper.core.facts import DrainRequested, StopRequested
from acekeeper.core.vpn import Behind

from .vpn_world import ONE, TWO, VpnWorld, world_of
from .world import slot

PORT_SETTLES = TWO.vpn_port_settle


def numbers(world: VpnWorld) -> list[int]:
    """Of each engine that has a port: the port."""
    return sorted(e.behind.forwarded for e in world.state.engines.values() if e.behind and e.ready)


def an_hour(world: VpnWorld) -> None:
    """In which nothing happens."""
    world.taken.clear()
    world.run(3600)
    assert [*world.starts(), *world.stops()] == []


def test_the_first_engine_of_each_vpn_with_a_port_has_it() -> None:
    world = world_of(4, de=51, ch=52)
    assert world.forwarded() == [0, 4]
    assert world.engine(0).behind == Behind("de", "de-1", 51)
    assert numbers(world) == [0, 0, 51, 52]
    an_hour(world)


def test_one_with_a_port_comes_before_one_with_fewer_engines() -> None:
    world = VpnWorld(replace(TWO, min_replicas=1))
    world.up("de", port=51)
    world.up("ch", port=52)
    world.connect()
    world.run(200)  # one free engine is wanted, and each port has its own
    assert world.listed() == [0, 4]
    assert world.forwarded() == [0, 4]
    an_hour(world)


def test_a_port_that_comes_late_gets_an_engine_and_another_one_goes() -> None:
    world = world_of(2, ONE)
    world.answer("de", port=51)
    world.run(300)
    assert len(world.starts()) == len(world.stops()) == 1
    assert world.forwarded() == [2]
    assert len(world.listed()) == 2
    an_hour(world)


@pytest.mark.parametrize(("slots", "most"), [(4, 4), (8, 4), (4, 8)])
def test_a_port_that_comes_when_every_place_is_taken_gets_one_all_the_same(
    slots: int, most: int
) -> None:
    world = world_of(4, replace(ONE, vpn_slots=slots, max_replicas=most))
    world.answer("de", port=51)
    world.run(1)
    drains = [a for a in world.taken if isinstance(a, Drain)]
    assert [a.reason for a in drains] == ["vpn"]
    world.run(60)
    assert len(world.forwarded()) == 1
    assert len(world.listed()) == 4
    an_hour(world)


def test_one_goes_for_a_port_and_no_second_one() -> None:
    world = world_of(4, replace(ONE, auto_delete=False))
    world.rules = replace(world.rules, min_replicas=1)
    world.answer("de", port=51)
    world.run(300)
    assert [a.reason for a in world.taken if isinstance(a, Drain)] == ["vpn"]
    assert len(world.forwarded()) == 1
    assert len(world.listed()) == 4


def test_nobody_is_sent_away_for_a_port() -> None:
    world = world_of(4, ONE)
    for n in range(4):
        world.play(slot(n), f"s{n}")
    world.answer("de", port=51)
    an_hour(world)
    world.rules = replace(ONE, min_replicas=1)
    world.leave("s2")
    world.run(120)
    assert world.forwarded() == [2]
    assert len(world.state.playing) == 3


def test_where_no_free_ones_are_wanted_none_is_started_for_a_port_nor_kept() -> None:
    world = world_of(0, ONE, de=51)
    an_hour(world)
    world.request("r")
    world.run(10)
    assert world.forwarded() == [0]
    world.run(1000)
    assert world.state.engines == {}


def test_a_new_port_that_stays_gets_a_successor() -> None:
    world = world_of(2, ONE, de=51)
    world.answer("de", port=52)
    assert world.forwarded() == []
    world.run(PORT_SETTLES - 1)
    assert world.taken == []
    assert world.listed() == [0, 1]
    world.run(300)
    assert numbers(world) == [0, 52]
    assert len(world.forwarded()) == 1
    (began, *_) = [h for h in world.happened if h.kind == "rollout_began"]
    assert began.data["reasons"] == ["forwarded_port_changed"]
    an_hour(world)


def test_who_plays_on_one_with_an_old_port_goes_on() -> None:
    world = world_of(1, ONE, de=51)
    world.play(slot(0), "s")
    world.answer("de", port=52)
    world.run(3600)
    assert world.state.streams["s"].ended is None
    assert numbers(world) == [51, 52]
    assert len(world.forwarded()) == 1
    world.leave("s")
    world.run(300)
    assert numbers(world) == [52]


def test_a_port_that_flaps_starts_nothing() -> None:
    world = world_of(2, ONE, de=51)
    for n in range(60):
        world.answer("de", port=52 + n % 2)
        world.run(PORT_SETTLES / 2)
        assert world.forwarded() == []
    assert world.taken == []
    world.answer("de", port=51)
    assert world.forwarded() == [0]


def test_a_port_that_is_gone_for_a_while_keeps_its_engine() -> None:
    world = world_of(1, ONE, de=51)
    world.play(slot(0))
    world.run(10)
    world.answer("de", port=0)
    assert world.forwarded() == []
    world.leave("s")  # of the two that are free now one goes, and not this one
    world.run(3600)
    assert world.listed() == [0]
    world.answer("de", port=51)
    assert world.forwarded() == [0]
    an_hour(world)


def test_nobody_has_a_port_while_one_that_goes_still_has_it() -> None:
    world = world_of(1, ONE, de=51)
    before = world.engine(0)
    world.outside[slot(0)].hung = True
    world.tell(StopRequested(*before.ref))
    del world.outside[slot(0)]  # its end is not told
    world.run(60)
    assert slot(0) in world.state.engines
    assert numbers(world) == [0, 51]
    assert [e.behind.forwarded for e in world.behind("de") if e.slot != slot(0) and e.behind] == [0]


@pytest.mark.parametrize("how", ["dies", "is drained", "hangs"])
def test_another_one_has_it_once_the_first_is_gone(how: str) -> None:
    world = world_of(2, ONE, de=51)
    if how == "dies":
        world.die(slot(0))
    elif how == "is drained":
        world.tell(DrainRequested(*world.engine(0).ref))
    else:
        world.outside[slot(0)].hung = True
        world.survey()
    world.run(600)
    assert numbers(world) == [0, 51]
    assert len(world.forwarded()) == 1
    an_hour(world)


def test_a_restart_of_the_vpn_gives_the_port_anew() -> None:
    world = world_of(2, ONE, de=51)
    world.end_unit("de")
    world.up("de", port=53)
    world.run(60)
    assert numbers(world) == [0, 53]
    an_hour(world)


def test_without_a_tunnel_nobody_is_forwarded() -> None:
    world = world_of(1, ONE, de=51)
    world.answer("de", is_healthy=False, port=51)
    assert world.forwarded() == []
    world.answer("de", port=51)
    world.run(1)
    assert world.forwarded() == [0]
    assert not vpns.wanting(world.state, world.rules)


@pytest.mark.parametrize("port", [19000, 20003, 21001, 22003])
def test_nobody_starts_on_a_forwarded_port_that_engines_have_for_something_else(port: int) -> None:
    world = world_of(2, de=port, ch=52)
    assert world.forwarded() == [4]
    assert numbers(world) == [0, 52]
    an_hour(world)
    world.answer("de", port=51)
    world.run(PORT_SETTLES + 200)
    assert numbers(world) == [51, 52]

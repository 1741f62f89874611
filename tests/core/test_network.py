"""Starts wait for the host's way out, and engines that have another one are replaced."""

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from acekeeper.core import playback
from acekeeper.core.actions import Drain
from acekeeper.core.doubt import Content
from acekeeper.core.facts import (
    EngineAnswered,
    Found,
    PlaybackFailed,
    RuntimeChecked,
    Verdict,
    WayOutSeen,
)
from acekeeper.core.model import Engine, Health
from acekeeper.core.network import is_to_blame, troubles
from acekeeper.core.restore import restore
from acekeeper.core.rules import Rules
from acekeeper.core.way_out import Route, WayOut

from .test_starvation import starving, sweep
from .world import RULES, Outside, World, pool, rules, slot

STILL = rules(min_replicas=0, auto_delete=False)
V4 = Route("192.0.2.1", "eth0", "192.0.2.5")
V6 = Route("fe80::1", "eth0", "2001:db8::5", is_ipv4=False)
HOME = WayOut(V4, ("192.0.2.53",))
NOTHING = WayOut()
DEAD = Content("infohash", "d" * 40)
OTHERS = [
    replace(HOME, route=replace(V4, gateway="192.0.2.2")),
    replace(HOME, route=replace(V4, device="eth1")),
    replace(HOME, route=replace(V4, source="192.0.2.6")),
    replace(HOME, nameservers=("192.0.2.54",)),
    replace(HOME, nameservers=("192.0.2.53", "192.0.2.54")),
]


def see(world: World, way: WayOut) -> None:
    world.way = way
    world.tell(WayOutSeen(way))


def booted(way: WayOut, of: Rules = RULES) -> World:
    world = World(of)
    see(world, way)
    world.connect()
    return world


def at(count: int, way: WayOut, of: Rules = RULES) -> World:
    """A pool whose engines started with this way out, which the host still has."""
    world = World(of)
    see(world, way)
    found = []
    for n in range(count):
        name = f"found-{n}"
        world.outside[slot(n)] = Outside(slot(n), name, f"id-{name}", 0.0)
        found.append(Found(slot(n), name, f"id-{name}", way_out=way))
    world.connect(found)
    world.run(20)
    assert world.listed() == list(range(count))
    world.taken.clear()
    world.happened.clear()
    return world


def ways(world: World) -> dict[int, WayOut | None]:
    engines = world.state.engines.values()
    return {e.slot.port - 19000: e.way_out for e in engines if e.listed}


def drained(world: World) -> list[int]:
    drains = [a for a in world.taken if isinstance(a, Drain)]
    return [d.slot.port - 19000 for d in drains if d.reason == "network_changed"]


def told(world: World) -> list[str]:
    return [kind for kind in world.kinds() if kind.startswith("network_")]


def wrong(world: World) -> list[str]:
    return troubles(world.state, world.now)


def test_engines_start_as_soon_as_there_is_a_default_route() -> None:
    world = booted(NOTHING)
    world.run(20)
    assert world.starts() == []
    assert told(world) == ["network_absent"]
    assert ["engines wait for it" in text for text in wrong(world)] == [True]
    see(world, HOME)
    assert len(world.starts()) == 1
    assert told(world) == ["network_absent", "network_changed"]
    assert wrong(world) == []
    world.run(200)
    assert ways(world) == {0: HOME}
    assert drained(world) == []


def test_after_a_minute_they_start_without_one_and_are_replaced_when_it_came() -> None:
    world = booted(NOTHING)
    world.run(59.9)
    assert world.starts() == []
    world.run(0.2)
    assert len(world.starts()) == 1
    world.run(100)
    assert ways(world) == {0: NOTHING}
    assert ["engines reach nobody" in text for text in wrong(world)] == [True]
    see(world, HOME)
    world.run(59)
    assert drained(world) == []
    assert ["this host has now: 1;" in text for text in wrong(world)] == [True]
    world.run(60)
    assert drained(world) == [0]
    assert ways(world) == {1: HOME}
    world.run(100)
    assert wrong(world) == []


def test_ipv6_alone_is_waited_with_and_gives_way_to_ipv4() -> None:
    world = booted(WayOut(V6, ("2001:db8::53",)))
    world.run(59.9)
    assert world.starts() == []
    world.run(10)
    assert ways(world) == {0: WayOut(V6, ("2001:db8::53",))}
    assert wrong(world) == []
    see(world, HOME)
    world.run(200)
    assert drained(world) == [0]
    assert ways(world) == {1: HOME}


def test_a_request_and_a_player_are_told_why_they_wait() -> None:
    world = booted(NOTHING, STILL)
    world.request("r")
    refusal = world.refused("r")
    assert (refusal.code, refusal.should_wait, refusal.eta) == ("general_error", True, 4)
    assert refusal.message == "this host has no default route yet"
    world.run(59.5)
    world.request("s")
    world.run(0.6)
    assert [a.request for a in world.starts()] == ["s"]


def test_every_loss_of_the_route_has_its_minute_and_no_more() -> None:
    world = at(1, HOME, rules(min_replicas=1))
    see(world, NOTHING)
    world.play(slot(0))
    world.run(30)
    see(world, WayOut(None, ("192.0.2.54",)))  # more of the same
    world.run(29)
    assert world.starts() == []
    world.run(2)
    assert len(world.starts()) == 1
    assert told(world) == ["network_absent"]


@pytest.mark.parametrize("other", OTHERS)
def test_a_change_that_has_settled_replaces_a_few_at_a_time_and_nobody_with_a_viewer(
    other: WayOut,
) -> None:
    world = at(4, HOME, rules(min_replicas=3))
    world.play(slot(3))
    see(world, other)
    assert told(world) == ["network_changed"]
    world.run(59.9)
    assert (drained(world), world.starts()) == ([], [])
    for _ in range(600):
        world.run(1)
        world.tell(WayOutSeen(other))  # as every sweep says
        assert len(world.listed()) >= 4  # three free ones, and the one that plays
        assert sum(e.drain is not None for e in world.state.engines.values()) <= 3
    assert drained(world) == [0, 1, 2]
    assert ["this host has now: 1;" in text for text in wrong(world)] == [True]
    world.leave("s")
    world.run(600)
    assert drained(world) == [0, 1, 2, 3]
    assert {*ways(world).values()} == {other}
    assert wrong(world) == []


def test_a_change_is_settled_when_nothing_has_changed_for_a_minute() -> None:
    world = at(1, HOME)
    for other in (*OTHERS, OTHERS[0]):
        see(world, other)
        world.run(50)
    assert drained(world) == []
    assert world.starts() == []
    world.run(60)
    assert drained(world) == [0]
    assert ways(world) == {1: OTHERS[0]}


@pytest.mark.parametrize("meanwhile", [NOTHING, WayOut(V6, ("2001:db8::53",)), OTHERS[0]])
def test_what_comes_back_as_it_was_replaces_nobody(meanwhile: WayOut) -> None:
    world = at(1, HOME)
    for _ in range(20):
        see(world, meanwhile)
        world.run(50)
        see(world, HOME)
        world.run(100)
    assert (drained(world), world.starts()) == ([], [])


@pytest.mark.parametrize("lost", [NOTHING, WayOut(V6, ("192.0.2.54",)), WayOut(V4, ())])
def test_what_is_only_lost_replaces_nobody(lost: WayOut) -> None:
    world = at(1, HOME)
    see(world, lost)
    world.run(1000)
    assert (drained(world), world.starts()) == ([], [])


def test_another_order_of_the_nameservers_replaces_nobody() -> None:
    one, other = "192.0.2.53", "192.0.2.54"
    world = at(2, WayOut(V4, (one, other)))
    see(world, WayOut(V4, (other, one)))
    world.run(200)
    assert (drained(world), world.starts()) == ([], [])
    assert wrong(world) == []


def test_where_engines_share_the_network_of_the_host_nothing_is_done() -> None:
    world = pool(1)
    for way in (HOME, *OTHERS):
        see(world, way)
        world.run(200)
    assert drained(world) == []
    assert wrong(world) == []
    unseen = World()
    unseen.connect()
    assert len(unseen.starts()) == 1


def test_with_an_address_that_changed_too_one_replacement_does_for_both() -> None:
    world = at(2, HOME, rules(min_replicas=2, addresses=("127.0.0.1", "192.0.2.5")))
    world.there = ("127.0.0.1", "192.0.2.5")
    see(world, OTHERS[0])
    world.run(61)
    world.tell(RuntimeChecked("", world.there))
    world.run(600)
    assert len([a for a in world.taken if isinstance(a, Drain)]) == 2
    assert {*ways(world).values()} == {OTHERS[0]}


def test_a_restart_of_ours_remembers_what_engines_have() -> None:
    before = at(1, HOME)
    again = restore(before.rules, before.now, before.state.engines.values())
    world = World(state=again)
    world.outside = before.outside
    see(world, OTHERS[0])
    world.connect(Found(e.slot, e.incarnation, e.container_id) for e in engines(before))
    world.run(200)
    assert drained(world) == [0]


def engines(world: World) -> Iterable[Engine]:
    return world.state.engines.values()


@pytest.mark.parametrize("now", [NOTHING, *OTHERS])
def test_who_gets_nothing_by_the_networks_fault_does_not_starve(now: WayOut) -> None:
    world = at(1, HOME, STILL)
    world.play(slot(0))
    sweep(world, 100, s=(0, 0))
    see(world, now)
    assert is_to_blame(world.state, world.engine(0))
    sweep(world, 600, s=(0, 0))
    assert not starving(world)
    assert "engine_starving" not in world.kinds()
    see(world, HOME)
    sweep(world, 170, s=(0, 0))
    assert not starving(world)
    sweep(world, 30, s=(0, 0))
    assert starving(world)


def test_who_starved_before_does_so_no_longer_and_is_not_called_fed() -> None:
    world = at(1, HOME, STILL)
    world.play(slot(0))
    sweep(world, 200, s=(0, 0))
    assert starving(world)
    see(world, NOTHING)
    sweep(world, 10, s=(0, 0))
    assert not starving(world)
    assert "engine_fed" not in world.kinds()


def test_nobody_and_no_content_is_doubted_by_the_networks_fault() -> None:
    world = at(4, HOME, STILL)
    see(world, NOTHING)
    for n in range(4):
        world.play(slot(n), f"s{n}", moving=False, key="d" * 40)
        world.leave(f"s{n}", "timeout")
    assert not any(e.against for e in world.state.engines.values())
    assert world.state.smells == {}
    see(world, HOME)
    world.play(slot(0), "s", moving=False, key="d" * 40)
    world.leave("s", "timeout")
    assert [bool(e.doubt) for e in world.state.engines.values()] == [True, False, False, False]


def test_nor_for_a_promise_that_lapsed_nor_for_silence_at_an_open() -> None:
    world = at(2, HOME, STILL)
    world.play(slot(1), key="e" * 40)
    world.sweep_streams()
    for way, doubted in ((NOTHING, False), (HOME, True)):
        see(world, way)
        both = frozenset(engine.ref for engine in engines(world))
        playback.blame(world.state, world.rules, DEAD, both, world.now)
        assert playback.is_blamed(world.state, world.rules, DEAD, world.now) == doubted
        world.request(f"r{doubted}")
        world.run(61)
        assert world.kinds().count("claim_lapsed") == 1 + doubted
        assert bool(world.engine(0).against or world.tries()) == doubted


def test_a_try_that_fails_by_the_networks_fault_says_nothing() -> None:
    world = at(1, HOME, STILL)
    world.outside[slot(0)].plays = Verdict.STARVED
    world.play(slot(0), moving=False, key="d" * 40)
    world.leave("s", "timeout")
    world.run(6)
    assert len(world.tries()) == 1
    see(world, NOTHING)
    world.tell(PlaybackFailed(*world.engine(0).ref, "no answer"))
    assert "playback_failed" not in world.kinds()
    doubt = world.engine(0).doubt
    assert doubt is not None
    assert doubt.failures == 0


def test_an_engine_without_a_way_out_is_still_asked_whether_it_is_alive() -> None:
    world = at(1, HOME, STILL)
    see(world, NOTHING)
    world.outside[slot(0)].hung = True
    world.survey()
    assert world.engine(0).health is Health.UNKNOWN
    world.outside[slot(0)].hung = False
    world.tell(EngineAnswered(*world.engine(0).ref))
    assert world.listed() == [0]

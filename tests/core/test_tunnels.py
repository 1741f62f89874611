"""What is told of a VPN, and how its tunnel is by that."""

import pytest

from acekeeper.core.facts import Fact, VpnAnswered, VpnEnded, VpnSilent, VpnTraffic
from acekeeper.core.vpn import DEAD_AFTER, Traffic, Tunnel

from .vpn_world import VpnWorld, world_of


def told(world: VpnWorld) -> list[str]:
    """Of VPNs, since the last look."""
    kinds = [kind for kind in world.kinds() if kind.startswith("vpn_")]
    world.happened.clear()
    return kinds


def test_a_unit_starts_connects_and_ends() -> None:
    world = VpnWorld()
    world.start_unit("de")
    assert world.tunnel("de") is Tunnel.CONNECTING
    world.answer("de", is_healthy=False)
    assert world.tunnel("de") is Tunnel.CONNECTING
    assert told(world) == ["vpn_started"]
    world.run(2)
    world.answer("de")
    assert world.tunnel("de") is Tunnel.CONNECTED
    assert (world.vpn("de").public_ip, world.vpn("de").since) == ("203.0.113.1", world.now.wall)
    assert told(world) == ["vpn_connected"]
    world.run(2)
    world.answer("de")
    assert world.vpn("de").since == world.now.wall - 2
    world.end_unit("de")
    assert world.tunnel("de") is Tunnel.STOPPED
    assert world.vpn("de").public_ip == ""
    (ended,) = world.happened
    assert (ended.kind, ended.data["why"], ended.data["had_tunnel"]) == (
        "vpn_ended",
        "killed",
        True,
    )


def test_a_tunnel_is_lost_and_back() -> None:
    world = world_of(0)
    world.answer("de", is_healthy=False)
    assert world.tunnel("de") is Tunnel.LOST
    world.answer("de")
    assert world.tunnel("de") is Tunnel.CONNECTED
    (lost, _) = world.happened
    assert lost.data == {"vpn": "de", "state": "lost", "why": None}
    assert told(world) == ["vpn_lost", "vpn_connected"]


def test_another_start_without_an_end_is_a_restart() -> None:
    world = world_of(0, de=51)
    world.start_unit("de")
    assert told(world) == ["vpn_ended", "vpn_started"]
    assert world.tunnel("de") is Tunnel.CONNECTING
    assert (world.vpn("de").port, world.vpn("de").had_port) == (0, True)


def test_an_end_of_whatever_ran_is_told_again_and_again_and_counts_once() -> None:
    world = world_of(0)
    for _ in range(3):
        world.tell(VpnEnded("de"))
    assert told(world) == ["vpn_ended"]
    world.tell(VpnEnded("at"))
    assert world.tunnel("at") is Tunnel.STOPPED
    assert told(world) == []


@pytest.mark.parametrize(
    "late",
    [
        VpnEnded("de", "de-1", "killed"),
        VpnAnswered("de", "de-1", is_healthy=False, port=99),
        VpnAnswered("de", "", is_healthy=True),
        VpnSilent("de", "de-1", "timeout"),
        VpnTraffic("de", "de-1", 5, 5, 1e9),
        VpnAnswered("nobody", "", is_healthy=True),
        VpnTraffic("nobody", "", 5, 5, 1e9),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_late_facts_of_another_start_change_nothing(late: Fact) -> None:
    world = world_of(2, de=51)
    world.end_unit("de")
    world.up("de", port=52)
    world.run(30)
    told(world)
    before = world.state.vpns.copy(), world.state.engines.copy(), world.state.revision
    world.tell(late)
    assert (world.state.vpns, world.state.engines, world.state.revision) == before
    assert told(world) == []


def test_silence_without_traffic_is_a_lost_tunnel() -> None:
    world = world_of(0)
    world.silence("de", excused=True)
    assert world.tunnel("de") is Tunnel.CONNECTED
    world.silence("de")
    assert world.tunnel("de") is Tunnel.SILENT
    assert world.happened[-1].data == {"vpn": "de", "state": "silent", "why": "timeout"}
    world.answer("de")
    assert world.tunnel("de") is Tunnel.CONNECTED


def test_a_silent_one_through_which_something_comes_has_a_tunnel() -> None:
    """Whether its counters are read before it is asked, or after."""
    for is_read_first in (True, False):
        world = world_of(0)
        for n in range(1, 5):
            world.run(5)
            if is_read_first:
                world.count("de", n * 100, n * 100)
            world.silence("de") if n > 2 else world.answer("de")
            if not is_read_first:
                world.count("de", n * 100, n * 100)
            assert world.tunnel("de") is Tunnel.CONNECTED
        for _ in range(2):  # nothing comes any more, or nobody sees it
            world.run(5)
            world.silence("de")
        assert world.tunnel("de") is Tunnel.SILENT
        world.run(5)
        world.count("de", 1000, 1000)
        assert world.tunnel("de") is Tunnel.CONNECTED


def test_one_that_said_it_has_none_and_is_silent_has_none_whatever_comes() -> None:
    world = world_of(0)
    world.answer("de", is_healthy=False)
    for n in range(3):
        world.run(1)
        world.count("de", n * 100, n * 100)
        world.silence("de")
        assert world.tunnel("de") is not Tunnel.CONNECTED


def test_a_tunnel_that_carries_nothing_back_is_dead_before_it_says_so() -> None:
    world = world_of(0)
    world.count("de", 100, 100)
    found = []
    for n in range(1, 5):
        world.run(5)
        world.count("de", 100, 100 + n)
        world.answer("de")
        found.append(world.tunnel("de"))
    assert found == [Tunnel.CONNECTED, Tunnel.DEAD, Tunnel.DEAD, Tunnel.DEAD]
    assert told(world) == ["vpn_lost"]
    world.run(30)
    world.count("de", 100, 104)  # nothing is sent: it is as it was
    assert world.tunnel("de") is Tunnel.DEAD
    world.count("de", 100, 104)
    world.run(1)
    world.count("de", 101, 110)
    assert world.tunnel("de") is Tunnel.CONNECTED
    assert told(world) == ["vpn_connected"]


def looks(*seen: tuple[float, int, int]) -> Traffic:
    (at, received, sent), *others = seen
    traffic = Traffic(received, sent, at)
    for at, received, sent in others:
        traffic = traffic.after(received, sent, at)
    return traffic


def test_who_sends_nothing_gets_nothing() -> None:
    assert not looks((0, 5, 5), (5, 5, 5), (500, 5, 5)).is_dead
    assert not looks((0, 5, 5), (5, 5, 6), (500, 5, 6)).is_dead


def test_one_look_is_not_enough_however_late_it_is() -> None:
    assert not looks((0, 5, 5), (300, 5, 6)).is_dead
    assert looks((0, 5, 5), (300, 5, 6), (600, 5, 7)).is_dead


def test_looks_at_any_distance_find_it_dead_after_ten_seconds() -> None:
    for every in (0.1, 1.0, 3.0, 5.0):
        count = int(DEAD_AFTER / every)
        seen = [(n * every, 5, 5 + n) for n in range(count + 3)]
        assert not looks(*seen[: count - 1]).is_dead
        assert looks(*seen).is_dead


def test_a_tunnel_made_anew_counts_anew() -> None:
    dead = (0.0, 500, 500), (5.0, 500, 600), (20.0, 500, 700)
    assert looks(*dead).is_dead
    assert looks(*dead, (25, 0, 10)) == Traffic(0, 10, 25)
    assert not looks((0, 500, 500), (5, 0, 10)).is_receiving
    assert looks((0, 5, 5), (5, 7, 7), (5, 9, 9)) == looks((0, 5, 5), (5, 7, 7))  # told twice


def test_the_first_port_of_a_start_is_taken_at_once_and_others_have_to_stay() -> None:
    world = world_of(0)
    world.answer("de", port=0)
    assert told(world) == []
    world.answer("de", port=51)
    assert (world.vpn("de").port, world.vpn("de").trusted_port) == (51, 51)
    world.answer("de", port=52)
    world.run(world.rules.vpn_port_settle - 1)
    world.answer("de", port=53)
    world.run(world.rules.vpn_port_settle - 1)
    assert (world.vpn("de").port, world.vpn("de").trusted_port) == (53, 51)
    world.run(1)
    assert world.vpn("de").trusted_port == 53
    ports = [h.data["port"] for h in world.happened if h.kind == "vpn_port_changed"]
    assert ports == [51, 52, 53]


def test_no_port_is_no_new_one_and_who_cannot_tell_says_nothing() -> None:
    world = world_of(0, de=51)
    world.answer("de")
    assert world.vpn("de").port == 51
    world.answer("de", port=0)
    world.run(3600)
    assert (world.vpn("de").port, world.vpn("de").trusted_port) == (0, 51)
    world.answer("de", port=51)
    assert [h.data["port"] for h in world.happened if h.kind == "vpn_port_changed"] == [0, 51]


def test_what_is_told_again_and_again_changes_nothing_that_is_shown() -> None:
    world = world_of(2, de=51)
    revision = world.state.revision
    for n in range(1, 20):
        world.run(5)
        world.answer("de", port=51)
        world.count("de", n * 100, n * 10)
    assert world.state.revision == revision
    traffic = world.vpn("de").traffic
    assert traffic is not None
    assert (traffic.received, traffic.sent) == (1900, 190)
    world.answer("de", port=52)
    assert world.state.revision > revision
    assert world.state.touched[world.behind("de")[0].slot] >= revision

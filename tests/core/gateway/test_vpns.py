"""Players of a pool behind VPNs."""

import pytest
from msgspec.structs import replace

from acekeeper.core.gateway.model import NotPlayed
from acekeeper.core.rules import Rules

from ..vpn_world import ONE, TWO, VpnWorld
from ..world import slot
from .players import Players


class Behind(Players, VpnWorld):
    """With free engines that are ready and rested."""


def behind(of: Rules) -> Behind:
    world = Behind(of)
    for vpn in of.vpns:
        world.up(vpn)
    world.connect()
    world.run(100)
    return world


def test_without_a_tunnel_players_wait_for_one_and_are_refused_in_the_end() -> None:
    world = behind(ONE)
    world.answer("de", is_healthy=False)
    world.ask("back", 1, within=25)
    world.ask("gone", 2, player="192.0.2.2", within=5)
    world.run(6)
    assert (world.served, world.opened()) == ({}, [])
    assert world.failed["gone"].why is NotPlayed.NO_ENGINE
    world.answer("de")
    world.run(1)
    assert world.served["back"].slot == slot(0)


@pytest.mark.parametrize("opens_after", [1.0, 100.0])
def test_a_session_that_is_being_opened_goes_on_or_is_opened_elsewhere(
    opens_after: float,
) -> None:
    world = behind(replace(TWO, min_replicas=2))
    world.at(0).opens_after = opens_after
    world.ask("p", 1)
    world.answer("de", is_healthy=False)
    world.run(8)
    assert world.slots()[0] == 0
    stream = world.served["p"]
    assert stream.slot == slot(0 if opens_after < 3 else 4)
    assert stream.ended is None


def test_who_watches_through_a_lost_tunnel_is_left_alone() -> None:
    world = behind(replace(TWO, min_replicas=2))
    world.ask("p", 1)
    world.run(1)
    world.come(world.served["p"].id)
    world.run(5)
    world.answer("de", is_healthy=False)
    for _ in range(30):
        world.run(10)
        world.survey()
        world.sweep_streams()
    assert world.state.streams[world.served["p"].id].ended is None
    assert slot(0) in world.state.engines

"""Whatever order hosts answer, decline, say nothing, fall and come back in, and players leave in: a
player gets one session at the most, and no other one stays open."""

import math
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acekeeper.core.facts import MaintenanceOver, MaintenanceRequested
from acekeeper.core.fleet.model import Standing
from acekeeper.core.gateway.facts import PlayerLeft
from acekeeper.core.gateway.model import NotPlayed
from acekeeper.core.names import Slot

from ..world import slot
from .fleet import FleetPlayers, fleet_players

HOSTS = ("b", "c", "d")
Step = Callable[[FleetPlayers], None]

numbers = st.integers(0, 7)
names = st.sampled_from(HOSTS)


def _ask(n: int, form: str, content: int) -> Step:
    def step(world: FleetPlayers) -> None:
        name, player = f"p{len(world.state.plays)}-{world.time}", f"192.0.2.{n}"
        if name not in world.served.keys() | world.sent.keys() | world.failed.keys():
            world.ask(name, content, player=player, json=form == "json", hls=form == "hls")

    return step


def _leave(n: int) -> Step:
    """While it waits, or when its answer is on its way."""

    def step(world: FleetPlayers) -> None:
        waiting = [*world.state.plays, *world.sent]
        if waiting:
            name = waiting[n % len(waiting)]
            there = world.sent.pop(name, None)
            world.tell(PlayerLeft(name, host=there.host if there else ""))

    return step


def _behave(name: str, after: float, way: float, no: NotPlayed | None, is_there: bool) -> Step:
    def step(world: FleetPlayers) -> None:
        host = world.hosts[name]
        host.answers_after, host.on_its_way, host.declines = after, way, no
        host.is_there = is_there

    return step


def _say(name: str, free: int, room: int, standing: Standing) -> Step:
    def step(world: FleetPlayers) -> None:
        world.host(name, free, room)
        said = world.state.fleet.hosts[name]
        world.state.fleet.put(replace(said, standing=standing))

    return step


def _free_or_take(where: Slot) -> Step:
    def step(world: FleetPlayers) -> None:
        here = [s.id for s in world.state.started_on(where) if s.gateway is None]
        if here:
            world.leave(here[0])
        elif world.state.is_free(world.state.engines[where], world.rules):
            world.play(where, f"taken-{world.time}", key="9" * 40)

    return step


def _maintain(world: FleetPlayers) -> None:
    is_on = world.state.maintenance is not None
    world.tell(MaintenanceOver() if is_on else MaintenanceRequested())


def _run(seconds: float) -> Step:
    return lambda world: world.run(seconds)


steps = st.one_of(
    st.builds(_ask, numbers, st.sampled_from(["", "json", "hls"]), st.integers(1, 3)),
    st.builds(_ask, numbers, st.sampled_from(["", "json", "hls"]), st.integers(1, 3)),
    st.builds(_leave, numbers),
    st.builds(
        _behave,
        names,
        st.sampled_from([0.01, 0.3, 1.5, 6.0, math.inf]),
        st.sampled_from([0.0, 0.2]),
        st.none() | st.sampled_from(list(NotPlayed)),
        st.booleans(),
    ),
    st.builds(_say, names, st.integers(0, 2), st.integers(0, 2), st.sampled_from(list(Standing))),
    st.builds(_free_or_take, st.just(slot(0))),
    st.just(_maintain),
    st.builds(_run, st.sampled_from([0.0, 0.1, 1.3, 9.0])),
)


@given(st.lists(steps, max_size=25), st.floats(0.05, 1.5))
def test_at_most_one_session_is_given_and_every_other_one_is_dropped(
    steps: list[Step], opens_after: float
) -> None:
    world = fleet_players()
    world.at(0).opens_after = opens_after
    for name in HOSTS:
        world.host(name)
    for step in steps:
        if world.outside:  # a maintenance has stopped it
            step(world)
    world.run(40)
    assert not world.state.plays
    assert not world.state.fleet.drops
    for name, host in world.hosts.items():
        assert host.opened == {play for play, there in world.sent.items() if there.host == name}

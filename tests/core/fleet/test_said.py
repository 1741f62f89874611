"""What a host says of itself is what others can have of it."""

from msgspec.structs import replace

from acekeeper.core.facts import (
    DrainRequested,
    EngineSilent,
    MaintenanceOver,
    MaintenanceRequested,
    RuntimeChecked,
    RuntimeConnected,
    RuntimeLost,
    StopRequested,
)
from acekeeper.core.fleet import said
from acekeeper.core.fleet.model import Digest, Doing
from acekeeper.core.supply import Supply

from ..vpn_world import TWO, world_of
from ..world import HOST, World, pool, rules, slot

HERE = rules(max_replicas=6, min_replicas=0, auto_delete=False)


def digest(world: World) -> Digest:
    return said.digest(world.state, world.rules, world.now)


def counts(world: World) -> tuple[int, int]:
    """What is free, and the room."""
    told = digest(world)
    return told.free, told.room


def doing(world: World) -> dict[int, Doing]:
    shared = said.engines(world.state, world.rules)
    assert all(name == engine.id == f"engine-{engine.port}" for name, engine in shared.items())
    return {engine.port - 19000: engine.doing for engine in shared.values()}


def test_a_pool_is_told_as_it_is() -> None:
    world = pool(3, HERE)
    world.play(slot(0))
    world.request("r")
    told = digest(world)
    assert (told.engines, told.streams, told.maintenance) == (3, 1, False)
    assert counts(world) == (1, 3)
    assert doing(world) == {0: Doing.TAKEN, 1: Doing.TAKEN, 2: Doing.FREE}
    assert said.engines(world.state, world.rules)["engine-19000"].streams == 1


def test_what_is_free_is_what_a_player_gets() -> None:
    world = pool(2, HERE)
    while (free := digest(world).free) > 0:
        supply = Supply(world.state, world.rules, world.now)
        engine = supply.free_engine(lambda engine: engine.is_at(HOST))
        assert engine is not None
        world.play(engine.slot, f"s{free}")
    assert Supply(world.state, world.rules, world.now).free_engine(lambda _: True) is None


def test_engines_are_told_as_what_they_are_doing() -> None:
    world = pool(3, HERE)
    world.play(slot(0))
    drained, silent = world.state.engines[slot(0)], world.state.engines[slot(1)]
    world.tell(DrainRequested(*drained.ref))
    world.tell(EngineSilent(*silent.ref, "timeout"))
    world.script.ready_after = 60
    for name in ("r1", "r2"):
        world.request(name)
    world.run(1)
    assert doing(world) == {
        0: Doing.DRAINING,
        1: Doing.UNWELL,
        2: Doing.TAKEN,
        3: Doing.STARTING,
    }
    assert digest(world).free == 0
    world.tell(StopRequested(*drained.ref))
    assert doing(world)[0] is Doing.STOPPING


def test_a_host_in_maintenance_has_nothing_for_others() -> None:
    world = pool(2, HERE)
    world.tell(MaintenanceRequested())
    assert digest(world).maintenance
    assert counts(world) == (0, 0)
    world.tell(MaintenanceOver())
    assert counts(world) == (2, 4)


def test_there_is_no_room_while_nothing_can_be_started() -> None:
    world = pool(2, HERE)
    world.tell(RuntimeChecked("no image"))
    assert counts(world) == (2, 0)
    world.tell(RuntimeChecked(""))
    assert counts(world) == (2, 4)
    world.tell(RuntimeLost("the bus is gone"))
    assert counts(world) == (2, 0)
    world.tell(RuntimeConnected())
    assert counts(world) == (2, 4)


def test_an_open_breaker_leaves_no_room_and_then_that_of_its_trial() -> None:
    world = pool(1, HERE)
    world.script.fails = "no such image"
    for n in range(world.rules.breaker_threshold):
        world.play(slot(0))
        world.request(f"r{n}")
        world.run(5)
    assert digest(world).room == 0
    world.run(world.rules.breaker_timeout)
    assert digest(world).room == 1


def test_every_place_taken_is_no_room() -> None:
    world = pool(2, rules(max_replicas=2, min_replicas=0, auto_delete=False))
    assert counts(world) == (2, 0)


def test_a_start_that_has_to_wait_a_moment_leaves_the_room_there_is() -> None:
    world = pool(1, HERE)
    world.play(slot(0))
    world.request("r")
    assert isinstance(Supply(world.state, world.rules, world.now).may_start(), float)
    assert digest(world).room == 4


def test_only_engines_and_starts_at_the_address_of_the_fleet_count() -> None:
    fleet = "192.0.2.1"
    world = pool(2, rules(max_replicas=6, min_replicas=0, auto_delete=False, fleet_address=fleet))
    assert digest(world).free == 0, "they are published on loopback"
    world.rules = replace(world.rules, addresses=(HOST, fleet))
    world.tell(RuntimeChecked("", (HOST,)))
    assert digest(world).room == 0, "they would start without it"
    world.tell(RuntimeChecked("", (HOST, fleet)))
    assert digest(world).room > 0


def test_there_is_room_behind_the_vpns_that_have_a_tunnel() -> None:
    world = world_of(2)
    assert digest(world).room == TWO.max_replicas - 2
    world.end_unit("de")
    world.run(5)
    assert digest(world).room == TWO.vpn_slots - len(world.behind("ch"))
    world.end_unit("ch")
    world.run(5)
    assert counts(world) == (0, 0)


def test_an_engine_whose_tunnel_is_lost_is_not_free() -> None:
    world = world_of(2)
    assert digest(world).free == 2
    world.answer("de", is_healthy=False)
    assert digest(world).free == 1
    told = said.engines(world.state, world.rules)
    assert [told[e.slot.container_name].doing for e in world.behind("de")] == [Doing.UNWELL]

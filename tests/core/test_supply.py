from acekeeper.core.names import PortPlan, Slot
from acekeeper.core.supply import free_slots

from .world import HOST, World, pool, rules, slot

FOUR = rules(ports=PortPlan(19000, 19003, 20000, 21000, 22000), min_replicas=0, auto_delete=False)


def next_slot(world: World) -> Slot | None:
    return next(free_slots(world.state, FOUR, world.now), None)


def vacate(world: World, *numbers: int) -> None:
    for n in numbers:
        world.die(slot(n))
        world.run(1)


def test_the_lowest_free_port_comes_first() -> None:
    world = pool(2, FOUR)
    assert next_slot(world) == slot(2)


def test_a_vacated_port_rests_for_a_minute() -> None:
    world = pool(2, FOUR)
    vacate(world, 0)
    assert next_slot(world) == slot(2)
    world.run(60)
    assert next_slot(world) == slot(0)


def test_with_none_rested_the_one_that_rests_longest() -> None:
    world = pool(4, FOUR)
    vacate(world, 2, 0)
    assert next_slot(world) == slot(2)


def test_with_every_port_taken_there_is_none_and_a_request_is_told() -> None:
    world = pool(4, FOUR)
    for n in range(4):
        world.play(slot(n), f"s{n}")
    assert next_slot(world) is None
    world.request("r")
    assert (world.refused("r").code, world.refused("r").eta) == ("max_capacity", None)


def test_a_slot_owns_the_same_place_in_every_range() -> None:
    assert FOUR.ports.ports(19002) == (19002, 20002, 21002, 22002)
    assert 19003 in FOUR.ports
    assert 19004 not in FOUR.ports
    assert slot(0).host == HOST

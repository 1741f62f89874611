"""Which start is told to replace which engine."""

import pytest

from acekeeper.core.facts import ScaleRequested
from acekeeper.core.lifecycle import STOPPED

from .test_health import hang
from .world import World, pool, rules, slot

TWO = rules(min_replicas=2, auto_delete=False, min_provision_interval=0)


def starts(world: World) -> list[object]:
    """What each start replaces, since the pool was full."""
    told = [h for h in world.happened if h.kind == "engine_starting"]
    return [h.data["replaces"] for h in told]


def full() -> World:
    world = pool(2, TWO)
    world.happened.clear()
    return world


def test_a_start_names_the_one_that_died() -> None:
    world = full()
    world.die(slot(1))
    world.run(30)
    assert starts(world) == ["engine-19001"]


def test_deaths_are_made_up_for_in_their_order_each_once() -> None:
    world = full()
    world.die(slot(1))
    world.die(slot(0))
    world.run(30)
    assert starts(world) == ["engine-19001", "engine-19000"]
    world.tell(ScaleRequested(3))
    world.run(30)
    assert starts(world)[2:] == [None]


def test_the_successor_of_one_that_did_not_get_ready_names_that() -> None:
    world = full()
    world.script.fails, world.script.excused = "no port", True
    world.die(slot(1))
    world.run(0.35)
    world.script.fails = ""
    world.run(30)
    first, *rest = starts(world)
    assert first == "engine-19001"
    failed = [h.engine for h in world.happened if h.kind == "engine_start_failed"]
    assert rest == [where.container_name for where in failed if where]


def test_a_suspect_is_made_up_for_once_also_when_it_is_replaced_in_the_end() -> None:
    world = full()
    hang(world, 0)
    world.run(300)
    assert "engine_stopped" in world.kinds()
    assert starts(world) == ["engine-19000"]
    assert world.state.unreplaced == ()


def test_a_suspect_that_is_well_again_needs_no_successor() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False))
    hang(world, 0)
    assert [where for where, _ in world.state.unreplaced] == [slot(0)]
    world.outside[slot(0)].hung = False
    world.survey()
    assert world.state.unreplaced == ()


@pytest.mark.parametrize("cause", [STOPPED, "host_rebooted"])
def test_what_was_meant_to_end_or_went_with_the_host_is_replaced_by_nobody(cause: str) -> None:
    world = full()
    world.die(slot(0), cause)
    world.run(30)
    assert starts(world) == [None]


def test_a_start_for_a_request_replaces_nobody() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False))
    world.happened.clear()
    world.die(slot(0))
    world.run(1)
    world.request("r")
    world.run(30)
    assert starts(world) == [None]


def test_what_was_lost_long_ago_is_forgotten() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False))
    world.happened.clear()
    world.die(slot(0))
    world.run(599)
    assert [where for where, _ in world.state.unreplaced] == [slot(0)]
    world.run(2)
    world.tell(ScaleRequested(1))
    world.run(30)
    assert starts(world) == [None]

"""Looking ahead: how many engines are kept free while free ones go quickly."""

from acekeeper.core.demand import wanted_free
from acekeeper.core.facts import ProvisionRequested

from .world import World, pool, rules, slot


def wanted(world: World) -> int:
    return wanted_free(world.state, world.rules, world.now)[0]


def take(world: World, count: int, every: float) -> None:
    """Viewers come and stay. Each takes a free engine, or asks for one and plays from it."""
    for _ in range(count):
        name = f"v{len(world.state.streams)}"
        free = [e for e in world.state.engines.values() if world.state.is_free(e, world.rules)]
        if free:
            world.play(free[0].slot, name)
        else:
            world.request(name)
            world.run(2.5)
            world.play(world.given(name).slot, name)
        world.run(every)


def test_more_are_kept_while_they_go_faster_than_they_start() -> None:
    world = pool(1)
    take(world, 2, every=2)
    assert wanted(world) == 2
    world.run(60)
    free = [e for e in world.state.engines.values() if world.state.is_free(e, world.rules)]
    assert len(free) == 2


def test_who_asks_when_there_is_none_counts_too() -> None:
    world = pool(1, rules(min_provision_interval=0))
    for n in range(4):  # in one turn, so that none is started ahead
        world._apply(ProvisionRequested(f"r{n}"))
    world._plan()
    assert wanted(world) == 4


def test_who_comes_now_and_then_costs_nothing() -> None:
    world = pool(1)
    take(world, 5, every=10)
    assert wanted(world) == 1
    assert len(world.state.engines) == 6


def test_what_is_kept_anyway_is_enough_for_a_rush_of_that_size() -> None:
    world = pool(3, rules(min_replicas=3))
    take(world, 3, every=0.1)
    assert wanted(world) == 3


def test_a_rush_is_remembered_for_a_while_and_then_they_go_once() -> None:
    world = pool(1, rules(rush_lasts=100))
    take(world, 3, every=0)
    world.run(94)
    assert wanted(world) == 3
    assert world.stops() == []
    world.run(100)
    assert wanted(world) == 1
    assert len(world.stops()) == 2
    starts = len(world.starts())
    world.run(1000)
    assert len(world.starts()) == starts


def test_zapping_is_no_rush() -> None:
    world = pool(2)
    for n in range(200):
        world.play(slot(n % 2), f"s{n}")
        world.run(1)
        world.leave(f"s{n}")
    assert world.taken == []
    assert wanted(world) == 1


def test_who_comes_back_to_engines_that_are_free_is_no_rush() -> None:
    world = pool(1)
    take(world, 8, every=20)
    for name in list(world.state.streams):
        world.leave(name)
    starts = len(world.starts())
    take(world, 7, every=0.1)
    assert len(world.starts()) == starts
    assert wanted(world) == 1


def test_the_cap_and_the_slots_hold() -> None:
    world = pool(1, rules(max_replicas=6, max_concurrent_provisions=2))
    take(world, 3, every=0.1)
    assert wanted(world) == 3
    world.run(60)
    world.play(slot(3), "one more")
    world.run(60)
    assert len(world.state.engines) == 6  # the limit on starts at once is checked with each


def test_engines_on_request_only_stay_so() -> None:
    world = pool(0, rules(min_replicas=0))
    take(world, 5, every=0.5)
    assert len(world.starts()) == 5
    assert wanted(world) == 0


def test_what_is_remembered_is_bounded() -> None:
    world = pool(1)
    for _ in range(150):
        take(world, 1, every=20)
        world.die(next(iter(world.state.playing)))
    assert len(world.state.taken) == 100

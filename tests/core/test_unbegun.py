"""Engines that clients choose and nothing begins on: found by what clients ask."""

from acekeeper.core.doubt import Content
from acekeeper.core.facts import CapacityAsked, DrainRequested
from acekeeper.core.model import Health

from .world import World, pool, rules, slot

STILL = rules(min_replicas=0, auto_delete=False)
CHANNEL = "c" * 40
PLAYER = 2  # on it something plays


def a_pool(count: int = 3) -> World:
    """Nothing was used longer ago than the first, so it is chosen."""
    world = pool(count, STILL)
    world.play(slot(PLAYER), "playing", key=CHANNEL)
    world.run(30)
    world.sweep_streams()
    return world


def choose(world: World) -> None:
    """A client asks of each engine that is listed."""
    for n in world.listed():
        world.tell(CapacityAsked(slot(n), world.engine(n).start))


def doubted(world: World) -> list[int]:
    return [e.slot.port - slot(0).port for e in world.state.engines.values() if e.doubt]


def fail_twice(world: World) -> None:
    choose(world)
    world.run(10)
    choose(world)
    world.run(26)


def test_an_engine_whose_getstream_hangs_is_found_and_replaced() -> None:
    world = a_pool()
    world.outside[slot(0)].plays = None
    choose(world)
    world.run(10)
    choose(world)
    world.run(24)
    assert world.listed() == [0, 1, 2]
    world.run(2)
    assert world.listed() == [1, 2]
    doubt = world.engine(0).doubt
    assert doubt is not None
    assert doubt.content == Content("infohash", CHANNEL)
    world.run(100)
    assert world.engine(0).health is Health.UNHEALTHY
    world.run(60)
    assert [(s.slot, s.reason) for s in world.stops()] == [(slot(0), "unhealthy")]


def test_an_engine_that_plays_is_back_within_seconds_and_the_next_is_doubted() -> None:
    world = a_pool()
    fail_twice(world)
    assert world.listed() == [1, 2]
    world.run(6)
    assert world.listed() == [0, 1, 2]
    fail_twice(world)
    assert doubted(world) == [1]
    world.run(6)
    fail_twice(world)
    fail_twice(world)
    assert len(world.tries()) == 2  # each once, until something begins


def test_one_that_gives_up_says_nothing_and_many_at_once_are_one() -> None:
    world = a_pool()
    for _ in range(4):
        choose(world)
        world.run(1)
    world.run(300)
    assert world.listed() == [0, 1, 2]


def test_two_that_came_far_from_each_other_say_nothing() -> None:
    world = a_pool()
    choose(world)
    world.run(601)
    choose(world)
    world.run(60)
    assert world.listed() == [0, 1, 2]


def test_where_a_stream_begins_nobody_is_doubted() -> None:
    world = a_pool()
    choose(world)
    world.run(10)
    choose(world)
    world.run(20)
    world.play(slot(0), "begun")
    world.run(60)
    choose(world)
    world.run(60)
    assert world.tries() == []


def test_the_one_that_was_used_longest_ago_is_chosen() -> None:
    world = a_pool()
    world.play(slot(0), "over")
    world.leave("over", "eof")
    fail_twice(world)
    assert doubted(world) == [1]


def test_one_that_came_meanwhile_was_not_chosen() -> None:
    world = a_pool()
    world.play(slot(1), "over")
    choose(world)
    world.request("claims")
    assert world.given("claims").slot == slot(0)
    world.run(9)
    world.leave("over", "eof")
    choose(world)
    world.run(26)
    assert doubted(world) == []


def test_what_played_before_will_do() -> None:
    world = a_pool()
    world.leave("playing", "eof")
    fail_twice(world)
    assert doubted(world) == [0]


def test_without_a_content_that_plays_nobody_is_doubted() -> None:
    world = pool(2, STILL)
    fail_twice(world)
    assert world.listed() == [0, 1]


def test_a_question_about_an_engine_nobody_can_choose_counts_for_nothing() -> None:
    world = a_pool()
    world.tell(DrainRequested(slot(1), world.engine(1).start))
    world.tell(CapacityAsked(slot(1), world.engine(1).start))
    world.tell(CapacityAsked(slot(PLAYER), world.engine(PLAYER).start))
    world.tell(CapacityAsked(slot(0), "of before"))
    assert world.state.unbegun.first is None

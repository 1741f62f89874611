"""Engines that are not as one would be that started now are replaced, and no viewer notices."""

import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from acekeeper.core.actions import Drain, TakeBack
from acekeeper.core.breaker import Circuit, circuit
from acekeeper.core.build import Build
from acekeeper.core.facts import (
    BreakerReset,
    MaintenanceOver,
    MaintenanceRequested,
    RuntimeChecked,
    ScaleRequested,
)
from acekeeper.core.model import Engine, Phase
from acekeeper.core.restore import restore
from acekeeper.core.rollout import REASONS, outdated

from .world import HOST, World, pool, rules, slot

OLD, NEW, NEWER = (Build(f"image-{n}", f"print-{n}") for n in range(3))
NEW_UNIT = Build(OLD.image, "another")


def made(count: int, build: Build = OLD, **numbers: object) -> World:
    """A pool whose engines are all of one build, which is in force."""
    world = pool(count, rules(**numbers))
    for engine in world.outside.values():
        engine.build = build
    change(world, build)
    world.happened.clear()
    return world


def change(world: World, build: Build) -> None:
    """And somebody looks."""
    world.build = build
    world.list_engines(world.running())


def builds(world: World) -> list[Build]:
    return [e.build for e in world.state.engines.values() if e.listed]


def free(world: World) -> list[Engine]:
    engines = world.state.engines.values()
    return [e for e in engines if world.state.is_free(e, world.rules)]


def drained(world: World) -> list[tuple[int, str]]:
    drains = [a for a in world.taken if isinstance(a, Drain)]
    return [(d.slot.port - 19000, d.reason) for d in drains if d.reason in REASONS]


def going(world: World) -> int:
    engines = world.state.engines.values()
    return sum(e.drain is not None and e.slot not in world.state.playing for e in engines)


def roll(world: World, seconds: float, holds: Callable[[], object] = lambda: True) -> None:
    """`holds` must be true all the while."""
    for _ in range(int(seconds * 4)):
        world.run(0.25)
        assert holds()
        assert not world.cut


def is_over(world: World) -> bool:
    return not any(outdated(world.state, world.rules)) and world.state.rollout is None


def told(world: World, *kinds: str) -> list[str]:
    return [h.kind for h in world.happened if h.kind in kinds or h.kind.startswith("rollout")]


def test_before_the_runtime_has_said_what_runs_nothing_is_known_of_it() -> None:
    world = made(1)
    change(world, NEW)
    state = restore(world.rules, world.now, world.state.engines.values(), build=NEW)
    assert not any(outdated(state, world.rules))


def test_the_successor_comes_first() -> None:
    world = made(1)
    change(world, NEW)
    assert len(world.starts()) == 1
    roll(world, 100, lambda: free(world))
    assert drained(world) == [(0, "image_changed")]
    assert builds(world) == [NEW]
    assert len(world.starts()) == 1
    assert told(world) == ["rollout_began", "rollout_ended"]
    [began] = [h.data for h in world.happened if h.kind == "rollout_began"]
    assert began == {"outdated": 1, "engines": 1, "reasons": ["image_changed"]}


def test_another_unit_of_the_same_image_is_a_reason_too() -> None:
    world = made(1)
    change(world, NEW_UNIT)
    roll(world, 100)
    assert drained(world) == [(0, "unit_changed")]


def test_what_is_not_known_is_no_reason_and_an_engine_of_an_earlier_version_is_outdated() -> None:
    world = made(1)
    change(world, Build())
    roll(world, 100)
    assert drained(world) == []
    earlier = made(1, Build())
    change(earlier, NEW)
    roll(earlier, 100)
    assert builds(earlier) == [NEW]


def test_a_few_go_at_a_time_and_as_many_are_free_as_are_to_be() -> None:
    world = made(8, min_replicas=8)
    change(world, NEW)
    seen = set[int]()

    def holds() -> bool:
        seen.add(going(world))
        return len(free(world)) >= 8 and going(world) <= 3

    roll(world, 300, holds)
    assert seen == {0, 1, 2, 3}
    assert builds(world) == [NEW] * 8
    assert len(world.starts()) == 8


def test_before_the_first_has_outlived_its_first_seconds_none_goes() -> None:
    world = made(4, min_replicas=2, auto_delete=False)
    world.script.lives = 8  # ready after 6
    change(world, NEW)
    roll(world, 300)
    assert drained(world) == []
    assert len(world.starts()) == 2
    assert world.state.rollout is not None
    assert world.state.rollout.stopped == "starts_fail"


def test_a_stream_is_left_alone_and_its_engine_goes_when_it_ends() -> None:
    world = made(3, min_replicas=2)
    world.play(slot(1))
    change(world, NEW)
    roll(world, 300, lambda: len(free(world)) >= 2)
    assert [n for n, _ in drained(world)] == [0, 2]
    assert world.engine(1).listed
    world.leave("s")
    roll(world, 100, lambda: len(free(world)) >= 2)
    assert is_over(world)
    assert {*builds(world)} == {NEW}


def test_where_engines_play_for_several_one_takes_no_more_viewers_once_others_can() -> None:
    world = made(2, min_replicas=1, max_streams_per_engine=2)
    world.play(slot(0), "a")
    world.play(slot(1), "b")
    change(world, NEW)
    roll(world, 200, lambda: free(world))
    assert {n for n, _ in drained(world)} == {0, 1}
    assert world.stops() == []
    assert world.engine(0).phase is Phase.RUNNING
    world.leave("a")
    world.leave("b")
    roll(world, 100)
    assert is_over(world)


def test_a_stream_that_stands_still_for_a_player_that_is_there_is_not_cut() -> None:
    """What plays what it has already gets nothing."""
    world = made(1, max_streams_per_engine=2)
    world.play(slot(0), moving=False)
    world.outside[slot(0)].callers = {"a player"}
    change(world, NEW)
    for _ in range(30):
        world.run(10)
        world.sweep_streams()
    assert [n for n, _ in drained(world)] == [0]
    assert world.stops() == []
    world.outside[slot(0)].callers.clear()
    for _ in range(30):
        world.run(10)
        world.sweep_streams()
    assert is_over(world)


def test_a_viewer_for_whom_there_is_no_other_has_the_one_that_was_to_go() -> None:
    world = made(2, min_replicas=1, max_replicas=2)
    world.play(slot(0))
    change(world, NEW)
    assert [n for n, _ in drained(world)] == [1]
    world.run(5)
    world.request("r")
    assert world.given("r").slot == slot(1)
    world.play(slot(1), "r")
    roll(world, 100)
    assert world.stops() == []


def test_at_the_cap_one_is_missing_and_no_second_one() -> None:
    world = made(4, min_replicas=3, max_replicas=4)
    world.play(slot(0))
    change(world, NEW)
    roll(world, 400, lambda: len(free(world)) >= 2 and going(world) <= 1)
    assert builds(world) == [OLD] + [NEW] * 3
    alone = made(1, max_replicas=1)
    change(alone, NEW)
    roll(alone, 100)
    assert builds(alone) == [NEW]


def test_at_the_cap_with_too_few_free_none_goes() -> None:
    world = made(4, min_replicas=3, max_replicas=4)
    world.play(slot(0), "a")
    world.play(slot(1), "b")
    change(world, NEW)
    roll(world, 400)
    assert drained(world) == []


def test_one_that_was_to_be_scaled_down_is_no_successor() -> None:
    world = made(2)
    world.run(15)
    assert going(world) == 1
    change(world, NEW)
    roll(world, 200, lambda: free(world))
    assert builds(world) == [NEW]
    assert not any(isinstance(action, TakeBack) for action in world.taken)


def test_where_none_is_deleted_as_many_are_there_after_it() -> None:
    world = made(4, auto_delete=False)
    change(world, NEW)
    roll(world, 300, lambda: len(free(world)) >= 4)
    assert builds(world) == [NEW] * 4


@pytest.mark.parametrize("fails", ["it did not start", ""])
def test_it_is_stopped_when_successors_do_not_get_ready_and_goes_on_with_another_build(
    fails: str,
) -> None:
    world = made(5, min_replicas=3)
    world.play(slot(0))
    world.script.fails, world.script.ready_after = fails, 1e9
    change(world, NEW)
    roll(world, 1000, lambda: len(free(world)) >= 3)
    assert drained(world) == []
    assert len(world.starts()) == 2
    assert told(world) == ["rollout_began", "rollout_stopped"]
    world.script.fails, world.script.ready_after = "", 6
    change(world, NEWER)
    roll(world, 300, lambda: len(free(world)) >= 3)
    kinds = ["rollout_began", "rollout_stopped", "breaker_closed", "rollout_resumed"]
    assert told(world, "breaker_closed") == kinds
    assert {*(e.build for e in free(world))} == {NEWER}


def stopped() -> World:
    """One engine, whose successor did not start; the next one would."""
    world = made(1)
    world.script.fails = "no"
    change(world, NEW)
    roll(world, 100)
    world.script.fails = ""
    return world


def test_an_operator_who_resets_the_breaker_has_it_tried_again() -> None:
    world = stopped()
    world.tell(BreakerReset())
    roll(world, 100, lambda: free(world))
    assert is_over(world)


def test_it_goes_on_when_an_engine_that_was_needed_anyway_gets_ready() -> None:
    world = stopped()
    world.play(slot(0))
    roll(world, 100)
    assert builds(world) == [OLD, NEW]
    assert "rollout_resumed" in told(world)


def test_starts_that_failed_before_it_began_do_not_stop_it() -> None:
    world = made(1, breaker_threshold=100)
    world.script.fails = "no"
    world.tell(ScaleRequested(2))
    world.run(2)
    world.tell(ScaleRequested(0))
    world.run(1)  # the last of them
    assert world.state.breaker.failures >= 2
    world.script.fails = ""
    world.rules = replace(world.rules, addresses=(HOST, "192.0.2.5"))
    world.there = world.rules.addresses
    world.tell(RuntimeChecked("", world.there))
    roll(world, 100, lambda: free(world))
    assert told(world) == ["rollout_began", "rollout_ended"]


def test_a_second_change_midway_is_all_that_counts() -> None:
    world = made(6, min_replicas=6)
    world.play(slot(2))
    change(world, NEW)
    roll(world, 50, lambda: len(free(world)) >= 5)
    assert {*builds(world)} == {OLD, NEW}
    change(world, NEWER)
    roll(world, 400, lambda: len(free(world)) >= 6)
    assert {*(e.build for e in free(world))} == {NEWER}


def test_who_was_to_go_stays_when_what_was_before_is_in_force_again() -> None:
    world = made(4, min_replicas=4)
    change(world, NEW)
    while going(world) < 3:
        world.run(1)
    begun = len(world.starts())
    change(world, OLD)
    roll(world, 300, lambda: len(free(world)) >= 4)
    assert builds(world).count(OLD) == 4
    assert is_over(world)
    assert len(world.starts()) == begun


def test_what_is_missing_burns_no_start_and_closes_the_breaker_when_it_is_there() -> None:
    world = made(2, min_replicas=2, breaker_threshold=2)
    world.script.fails = "it ended"
    world.die(slot(0))
    world.run(2)
    assert circuit(world.state.breaker, world.rules, world.now) is Circuit.OPEN
    world.lacks, world.script.fails = "the image is not here", ""
    world.tell(RuntimeChecked(world.lacks, (HOST,)))
    starts = len(world.starts())
    world.run(1000)
    assert len(world.starts()) == starts
    world.play(slot(1))
    world.request("r")
    assert "the image is not here" in world.refused("r").message
    world.tell(RuntimeChecked("", (HOST,)))
    assert circuit(world.state.breaker, world.rules, world.now) is Circuit.CLOSED
    world.run(20)
    assert len(free(world)) == 2


def test_what_is_missing_is_looked_for_every_few_seconds() -> None:
    world = made(1)
    world.lacks = "the image is not here"
    world.tell(RuntimeChecked(world.lacks, (HOST,)))
    world.run(60)
    assert world.state.lacks
    world.lacks = ""
    world.run(6)
    assert world.state.lacks == ""


@pytest.mark.parametrize("seed", range(25))
def test_whatever_viewers_do_no_stream_is_cut_and_at_last_all_are_new(seed: int) -> None:
    chance = random.Random(seed)
    least, streams = chance.randint(1, 4), chance.randint(1, 3)
    most = least + chance.randint(0, 8)
    world = made(least, min_replicas=least, max_replicas=most, max_streams_per_engine=streams)
    playing: list[str] = []
    builds = [NEW, NEWER][: chance.randint(1, 2)]
    for minute in range(20):
        if minute in (3, 7) and builds:
            change(world, builds.pop(0))
        for n in range(chance.randint(0, 3)):
            world.request(name := f"{minute}-{n}")
            world.run(chance.random() * 10)
            if isinstance(given := world.answers.get(name), Engine):
                world.play(given.slot, name)
                playing.append(name)
        while playing and chance.random() < 0.4:
            world.leave(playing.pop(chance.randrange(len(playing))))
        was_there = len(free(world))
        world.run(chance.random() * 60)
        least_seen = least - (len(world.state.engines) >= most)
        assert len(free(world)) >= min(was_there, least_seen) - 1
        assert not world.cut
    for name in playing:
        world.leave(name)
    world.run(1500)
    assert not world.cut
    assert is_over(world)
    assert {e.build for e in world.state.engines.values()} == {world.build}


def test_a_successor_is_not_told_to_make_up_for_an_engine_that_died_before() -> None:
    world = made(4, min_replicas=2, auto_delete=False)
    world.die(slot(3))
    world.run(60)
    change(world, NEW)
    roll(world, 120)
    started = [h.data["replaces"] for h in world.happened if h.kind == "engine_starting"]
    assert started
    assert set(started) == {None}


def test_in_a_maintenance_none_begins_and_one_is_over_when_no_outdated_engine_is_left() -> None:
    world = made(3, min_replicas=3)
    change(world, NEW)
    world.tell(MaintenanceRequested())
    roll(world, 60)
    assert world.state.engines == {}
    assert told(world) == ["rollout_began", "rollout_ended"]


def test_after_a_maintenance_outdated_engines_are_replaced_of_a_pool_as_large_as_it_was() -> None:
    world = made(3, min_replicas=1, auto_delete=False)
    for n in range(3):
        world.play(slot(n), f"s{n}")
    world.tell(MaintenanceRequested())
    change(world, NEW)
    roll(world, 60)
    assert told(world) == []
    world.tell(MaintenanceOver())
    for n in range(3):
        world.leave(f"s{n}")
    roll(world, 300, lambda: len(world.state.engines) >= 3)
    assert is_over(world)
    assert builds(world) == [NEW, NEW, NEW]

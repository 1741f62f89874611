"""Streams the engine says nothing about: judged by that, and by who is connected to it."""

import pytest

from acekeeper.core.facts import DrainRequested, StreamsAsked
from acekeeper.core.model import Health
from acekeeper.core.restore import restore

from .world import World, pool, rules, sample, slot, started

STILL = rules(min_replicas=0, auto_delete=False)


def look(world: World, seconds: float, *, answers: bool = False) -> None:
    """Sweeps for so long; the engine says nothing of its stream unless it `answers`."""
    for _ in range(int(seconds / 10)):
        world.see_connections()
        if slot(0) in world.state.engines:
            stream = world.state.streams["s"].ref
            samples = {stream: sample(world.now, 100)} if answers else {}
            silent = frozenset[tuple[str, str]]() if answers else frozenset({stream})
            world.tell(StreamsAsked(*world.engine(0).ref, samples, silent=silent))
        world.run(10)


def silent(world: World) -> None:
    """A stream that cannot be asked about, also not by a look of ours at a draining engine."""
    world.outside[slot(0)].streams["s"] = True
    world.tell(started("s", slot(0)))

    def looked(where: object, incarnation: str) -> StreamsAsked:
        return StreamsAsked(slot(0), incarnation, silent=frozenset({world.state.streams["s"].ref}))

    world.looked = looked  # type: ignore[method-assign]


def is_over(world: World) -> bool:
    return world.state.streams["s"].ended is not None


def test_a_stream_nothing_is_heard_of_ends_once_nobody_was_connected_for_long() -> None:
    world = pool(1, STILL)
    silent(world)
    look(world, 90)
    assert not is_over(world)
    look(world, 20)
    assert is_over(world)
    assert world.state.streams["s"].reason == "unread"
    told = next(h for h in world.happened if h.kind == "stream_ended")
    assert (told.data["reason"], told.data["failed"], told.data["reaped"]) == (
        "unread",
        False,
        True,
    )
    assert world.listed() == [0]
    assert world.state.is_free(world.engine(0), world.rules)
    assert (world.state.heard, world.state.played) == ({}, {})


def test_it_stays_while_somebody_is_connected() -> None:
    world = pool(1, STILL)
    silent(world)
    world.outside[slot(0)].callers.add("viewer")
    look(world, 7200)
    assert not is_over(world)
    world.outside[slot(0)].callers.clear()
    look(world, 90)
    assert not is_over(world)
    look(world, 20)
    assert is_over(world)


def test_a_moment_between_two_connections_is_no_end() -> None:
    world = pool(1, STILL)
    silent(world)
    for n in range(50):
        look(world, 80)
        world.outside[slot(0)].callers.add(f"connection {n}")
        look(world, 10)
        world.outside[slot(0)].callers.clear()
    assert not is_over(world)


def test_what_is_heard_of_is_not_judged_by_connections() -> None:
    """HLS leaves none between two segments."""
    world = pool(1, STILL)
    silent(world)
    look(world, 7200, answers=True)
    for _ in range(20):
        look(world, 80)
        look(world, 10, answers=True)
    assert not is_over(world)


def test_after_a_restart_the_silence_begins_anew() -> None:
    world = pool(1, STILL)
    silent(world)
    look(world, 80)
    state = restore(
        world.rules, world.now, world.state.engines.values(), world.state.streams.values()
    )
    world.state = state
    world.connect(world.running())
    look(world, 80)
    assert not is_over(world)
    look(world, 30)
    assert is_over(world)


def test_looks_that_are_far_apart_are_two_at_least() -> None:
    world = pool(1, STILL)
    silent(world)
    world.run(3600)
    world.see_connections()
    world.tell(world.looked(*world.engine(0).ref))
    assert not is_over(world)
    world.run(600)
    world.tell(world.looked(*world.engine(0).ref))
    world.see_connections()
    assert is_over(world)


def test_a_drain_ends_once_nobody_is_connected() -> None:
    world = pool(1, STILL)
    silent(world)
    world.outside[slot(0)].callers.add("viewer")
    look(world, 30)
    world.tell(DrainRequested(*world.engine(0).ref))
    look(world, 1200)
    assert world.stops() == []
    world.outside[slot(0)].callers.clear()
    look(world, 40)
    assert [s.slot for s in world.stops()] == [slot(0)]


def test_a_drain_does_not_end_before_who_chose_the_engine_can_be_connected() -> None:
    world = pool(1, STILL)
    silent(world)
    look(world, 60)
    world.tell(DrainRequested(*world.engine(0).ref))
    look(world, 30)
    assert world.stops() == []
    world.outside[slot(0)].callers.add("had chosen it")
    look(world, 600)
    assert world.stops() == []


def test_a_drain_waits_for_a_stream_that_moves_whoever_is_connected() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    world.tell(DrainRequested(*world.engine(0).ref))
    for _ in range(60):
        world.sweep_streams()
        world.run(10)
    assert world.stops() == []


@pytest.mark.parametrize("connected", [True, False])
def test_an_engine_too_ill_to_tell_is_stopped_whoever_is_connected(connected: bool) -> None:
    world = pool(1, STILL)
    silent(world)
    if connected:
        world.outside[slot(0)].callers.add("viewer")
    world.outside[slot(0)].hung = True
    for _ in range(4):
        world.survey()
    assert world.engine(0).health is Health.UNHEALTHY
    look(world, 150)
    assert [s.reason for s in world.stops()] == ["unhealthy"]

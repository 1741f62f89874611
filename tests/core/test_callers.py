"""Engines on which clients wait for a `getstream` that hangs: found by who is connected."""

import pytest

from acekeeper.core.doubt import Content
from acekeeper.core.facts import ConnectionsSeen, DrainRequested, PlaybackFailed
from acekeeper.core.model import Health

from .world import World, pool, rules, slot

STILL = rules(min_replicas=0, auto_delete=False)
CHANNEL = "c" * 40
PLAYER = 2  # on it something plays


def a_pool(numbers: object = STILL) -> World:
    world = pool(3, numbers)  # type: ignore[arg-type]
    world.play(slot(PLAYER), "playing", key=CHANNEL)
    sweeps(world, 3)
    return world


def sweeps(world: World, count: int) -> None:
    """As the ticker does them."""
    for _ in range(count):
        world.sweep_streams()
        world.run(10)


def calls(world: World, n: int, name: str) -> None:
    world.outside[slot(n)].callers.add(name)


def hangs_up(world: World, n: int, name: str) -> None:
    world.outside[slot(n)].callers.discard(name)


def doubted(world: World) -> list[int]:
    return [e.slot.port - slot(0).port for e in world.state.engines.values() if e.doubt]


def waits_in_vain(world: World, n: int, name: str) -> None:
    """A client's getstream: for 20 s."""
    calls(world, n, name)
    sweeps(world, 2)
    hangs_up(world, n, name)


def test_an_engine_whose_getstream_hangs_is_found_and_replaced() -> None:
    world = a_pool()
    world.outside[slot(0)].plays = None
    calls(world, 0, "viewer")
    world.sweep_streams()
    world.run(9)
    assert world.listed() == [0, 1, 2]
    world.run(1)
    world.sweep_streams()
    assert world.listed() == [1, 2]
    doubt = world.engine(0).doubt
    assert doubt is not None
    assert (doubt.content, doubt.why) == (Content("infohash", CHANNEL), "connection")
    hangs_up(world, 0, "viewer")
    sweeps(world, 9)
    assert world.engine(0).health is Health.UNHEALTHY
    world.run(60)
    assert [(s.slot, s.reason) for s in world.stops()] == [(slot(0), "unhealthy")]


def test_an_engine_that_plays_is_back_within_seconds_and_its_callers_tell_nothing_for_a_while() -> (
    None
):
    world = a_pool()
    waits_in_vain(world, 0, "first")
    assert [(t.slot, t.content.key) for t in world.tries()] == [(slot(0), CHANNEL)]
    assert world.listed() == [0, 1, 2]
    for n in range(5):
        waits_in_vain(world, 0, f"later {n}")
    assert len(world.tries()) == 1
    sweeps(world, 55)
    waits_in_vain(world, 0, "ten minutes later")
    assert len(world.tries()) == 2


def test_a_health_check_that_connects_for_a_moment_tells_nothing() -> None:
    world = a_pool()
    for n in range(60):
        for engine in range(3):
            calls(world, engine, f"check {n}")
        world.see_connections()
        for engine in range(3):
            hangs_up(world, engine, f"check {n}")
        world.run(10)
    assert doubted(world) == []
    assert world.tries() == []


def test_who_stays_connected_is_doubted_for_once_and_the_engine_is_back() -> None:
    """A health check that keeps its connection, or a viewer nobody told us of."""
    world = a_pool()
    world.outside[slot(0)].plays = None  # so that its tries last until they are told to be over
    calls(world, 0, "for good")
    sweeps(world, 2)
    assert doubted(world) == [0]
    for _ in range(3):
        assert doubted(world) == [0]
        world.tell(PlaybackFailed(*world.engine(0).ref, "somebody is connected", excused=True))
        sweeps(world, 1)
    assert doubted(world) == []
    assert world.listed() == [0, 1, 2]
    tries = len(world.tries())
    sweeps(world, 200)
    assert len(world.tries()) == tries
    assert world.listed() == [0, 1, 2]


def test_one_that_cannot_be_tried_for_who_is_connected_is_not_off_the_list_for_ever() -> None:
    world = a_pool()
    world.outside[slot(0)].plays = None
    world.play(slot(0), "stalls", moving=False)
    world.leave("stalls", "timeout")
    calls(world, 0, "for good")
    for _ in range(61):
        assert doubted(world) == [0]
        sweeps(world, 1)
        world.tell(PlaybackFailed(*world.engine(0).ref, "somebody is connected", excused=True))
    sweeps(world, 1)
    assert world.listed() == [0, 1, 2]


def test_one_that_somebody_is_connected_to_makes_room_for_one_that_can_be_tried() -> None:
    world = a_pool()
    for n in (0, 1):
        world.play(slot(n), f"stalls {n}", moving=False, key=f"{n:040x}")
    calls(world, 0, "for good")
    sweeps(world, 1)
    world.leave("stalls 0", "timeout")
    assert doubted(world) == [0]
    world.leave("stalls 1", "timeout")
    assert doubted(world) == [1]


def test_where_a_stream_begins_nobody_is_doubted() -> None:
    world = a_pool()
    calls(world, 0, "viewer")
    sweeps(world, 1)
    world.play(slot(0), "begun")
    sweeps(world, 3)
    assert doubted(world) == []


def test_a_connection_from_before_the_end_of_the_last_stream_tells_nothing() -> None:
    """The client's pool keeps one for half a minute."""
    world = a_pool()
    for n in range(10):
        world.play(slot(0), f"s{n}")
        calls(world, 0, f"client {n}")
        sweeps(world, 1)
        world.run(5)
        world.leave(f"s{n}", "client_disconnected")
        sweeps(world, 3)
        hangs_up(world, 0, f"client {n}")
        sweeps(world, 1)
    world.play(slot(0), "s")
    calls(world, 0, "stops it")  # just before its end, and no look has seen it yet
    world.leave("s", "client_disconnected")
    sweeps(world, 3)
    assert doubted(world) == []


def test_what_was_connected_at_the_first_look_tells_nothing() -> None:
    """As after a restart of ours: nobody knows since when."""
    world = pool(2, STILL)
    world.play(slot(1), "playing", key=CHANNEL)
    calls(world, 0, "before us")
    sweeps(world, 5)
    assert doubted(world) == []


@pytest.mark.parametrize("state", ["claimed", "draining", "playing"])
def test_who_is_connected_to_an_engine_that_is_not_free_tells_nothing(state: str) -> None:
    world = a_pool()
    if state == "claimed":
        world.request("r")
        assert world.given("r").slot == slot(0)
    elif state == "draining":
        world.play(slot(0), "s")
        world.tell(DrainRequested(*world.engine(0).ref))
    else:
        world.play(slot(0), "s")
    calls(world, 0, "viewer")
    sweeps(world, 3)
    assert doubted(world) == []


def test_what_played_before_will_do_and_without_any_nobody_is_doubted() -> None:
    world = a_pool()
    world.leave("playing", "eof")
    waits_in_vain(world, 0, "viewer")
    assert len(world.tries()) == 1
    world = pool(2, STILL)
    sweeps(world, 1)
    waits_in_vain(world, 0, "viewer")
    assert world.tries() == []


def test_a_look_at_an_engine_of_before_tells_nothing() -> None:
    world = a_pool()
    for _ in range(3):
        world.tell(ConnectionsSeen(world.now, {(slot(0), "before"): frozenset({"viewer"})}))
    assert set(world.state.callers) == set()


@pytest.mark.parametrize("retries_every", [8, 15, 30])
def test_two_hours_of_a_viewer_who_retries_a_dead_channel_start_nothing(
    retries_every: int,
) -> None:
    """Beside a health check each minute, and with connections that its client keeps."""
    world = a_pool(rules(min_replicas=1, max_replicas=5, auto_delete=False))
    world.taken.clear()
    for round_ in range(2 * 60 * 60 // (20 + retries_every)):
        n = round_ % 2  # the client takes turns
        name = f"round {round_}"
        world.outside[slot(n)].peers = 0
        calls(world, n, name)
        world.play(slot(n), name, moving=False, key="d" * 40)
        sweeps(world, 2)
        world.leave(name, "timeout")
        world.outside[slot(n)].peers = 4
        world.survey()
        calls(world, 1 - n, f"check {round_}")
        world.see_connections()
        hangs_up(world, 1 - n, f"check {round_}")
        world.run(retries_every)
        world.see_connections()
        hangs_up(world, n, name)
        assert world.listed() == [0, 1, 2]
    assert world.starts() == []
    assert world.tries() == []

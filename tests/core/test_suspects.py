"""Which engines are doubted when something speaks against many, and when it is the content."""

import pytest
from msgspec.structs import replace

from acekeeper.core.facts import DrainRequested, Verdict
from acekeeper.core.model import Health

from .world import World, pool, rules, slot

STILL = rules(min_replicas=0, auto_delete=False)
TWO = replace(STILL, max_streams_per_engine=2)
DEAD, WELL = "d" * 40, "e" * 40


def doubted(world: World) -> list[int]:
    return sorted(e.slot.port - slot(0).port for e in world.state.engines.values() if e.doubt)


def whys(world: World) -> list[object]:
    return [h.data["why"] for h in world.happened if h.kind == "content_blamed"]


def fails(world: World, n: int, key: str, reason: str = "timeout") -> None:
    name = f"{n} {key} {world.time}"
    world.play(slot(n), name, moving=False, key=key)
    world.leave(name, reason)


def lasts(world: World, n: int, name: str, seconds: float, key: str = WELL) -> None:
    """A stream that plays for so long, and goes on."""
    world.play(slot(n), name, key=key)
    world.run(seconds)
    world.sweep_streams()


@pytest.mark.parametrize(("count", "at_once"), [(1, 1), (3, 1), (5, 1), (8, 2), (13, 3)])
def test_a_quarter_is_doubted_at_once_and_each_in_its_turn(count: int, at_once: int) -> None:
    world = pool(count, STILL)
    for n in range(count):
        fails(world, n, f"{n:040x}")
    assert len(doubted(world)) == at_once
    assert len(world.listed()) == count - at_once
    world.run(6 * count)
    assert doubted(world) == []
    assert sorted(t.slot.port - slot(0).port for t in world.tries()) == list(range(count))


def test_the_strongest_reason_comes_first_and_a_weaker_doubt_makes_room() -> None:
    world = pool(4, STILL)
    fails(world, 0, "0" * 40, "empty_timeout")
    fails(world, 1, "1" * 40, "timeout")
    assert doubted(world) == [1]
    fails(world, 2, "2" * 40, "empty_timeout")
    assert doubted(world) == [1]
    assert world.listed() == [0, 2, 3]


def test_a_try_under_way_and_one_that_failed_make_no_room() -> None:
    world = pool(4, STILL)
    world.outside[slot(0)].plays = None
    fails(world, 0, "0" * 40, "empty_timeout")
    world.run(6)
    fails(world, 1, "1" * 40, "timeout")
    assert doubted(world) == [0]
    world.run(22)  # between its first try and its second
    assert doubted(world) == [0]


def test_of_equal_reasons_the_one_that_has_not_played_for_the_longest_is_doubted_first() -> None:
    world = pool(4, STILL)
    for n, seconds in ((1, 40), (2, 0), (0, 60)):
        lasts(world, n, f"plays on {n}", 35)
        world.leave(f"plays on {n}", "eof")
        world.run(seconds)
    fails(world, 3, "3" * 40)
    assert doubted(world) == [3]
    for n in (0, 1, 2):
        world.run(1)
        fails(world, n, f"{n}" * 40)
    order = []
    for _ in range(40):
        world.run(1)
        order += [n for n in doubted(world) if n not in order]
    assert order == [3, 1, 2, 0]


def test_one_that_cannot_be_tried_makes_room_for_one_that_can() -> None:
    """Else it would be the only one doubted for as long as its viewer stays."""
    world = pool(2, TWO)
    world.play(slot(0), "stays", key=WELL)
    fails(world, 0, "0" * 40)
    assert doubted(world) == [0]
    world.outside[slot(1)].plays = None
    fails(world, 1, "1" * 40)
    assert doubted(world) == [1]
    world.run(80)
    assert world.engine(1).health is Health.UNHEALTHY
    assert doubted(world) == [0, 1]  # the other is known to be ill


@pytest.mark.parametrize("what", ["waits", "plays", "drained", "dead"])
def test_who_waits_for_room_is_doubted_only_while_something_speaks_against_it(what: str) -> None:
    world = pool(4, STILL)
    world.outside[slot(0)].plays = None
    fails(world, 0, "0" * 40)
    world.run(10)
    fails(world, 1, "1" * 40)
    if what == "plays":
        lasts(world, 1, "plays", 31)
        world.leave("plays", "eof")
    elif what == "drained":
        world.tell(DrainRequested(*world.engine(1).ref))
    elif what == "dead":
        world.die(slot(1))
    assert doubted(world) == [0]
    world.die(slot(0))
    world.sweep_streams()
    assert doubted(world) == ([1] if what == "waits" else [])


def test_what_spoke_against_an_engine_is_forgotten_in_time() -> None:
    world = pool(2, TWO)
    world.play(slot(0), "stays", key=WELL)  # so that it cannot be tried
    fails(world, 0, "0" * 40)
    world.play(slot(1), "stays too", key=WELL)
    fails(world, 1, "1" * 40)
    assert doubted(world) == [0]
    world.run(600)
    world.die(slot(0))
    world.sweep_streams()
    assert doubted(world) == []


def test_what_never_had_a_peer_is_to_blame_itself() -> None:
    world = pool(2, STILL)
    world.outside[slot(0)].peers = 0
    world.play(slot(0), "dead", moving=False, key=DEAD)
    world.run(10)
    world.sweep_streams()
    world.run(10)
    world.leave("dead", "timeout")
    assert world.listed() == [0, 1]
    assert whys(world) == ["no_peers"]
    fails(world, 1, DEAD)
    assert world.listed() == [0, 1]


def test_what_had_a_peer_once_is_not_to_blame() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "stalls", moving=False, key=DEAD)
    for peers in (0, 4, 0):
        world.outside[slot(0)].peers = peers
        world.run(6)
        world.sweep_streams()
    world.leave("stalls", "timeout")
    assert doubted(world) == [0]


def test_what_nobody_was_asked_about_is_not_to_blame() -> None:
    world = pool(1, STILL)
    world.outside[slot(0)].peers = 0
    fails(world, 0, DEAD)
    assert doubted(world) == [0]


def test_a_content_that_fails_where_another_plays_is_to_blame_itself() -> None:
    world = pool(2, TWO)
    lasts(world, 0, "plays", 31)
    fails(world, 0, DEAD)
    assert world.listed() == [0, 1]
    assert whys(world) == ["others_play"]


def test_a_content_that_fails_where_another_just_played_is_to_blame_itself() -> None:
    world = pool(1, STILL)
    lasts(world, 0, "plays", 31)
    world.leave("plays", "client_disconnected")
    world.run(5)
    fails(world, 0, DEAD)
    assert world.listed() == [0]
    world.run(60)
    fails(world, 0, "f" * 40)  # long after
    assert doubted(world) == [0]


def test_a_content_that_failed_where_another_plays_afterwards_is_to_blame_itself() -> None:
    world = pool(2, TWO)
    world.outside[slot(0)].plays = None
    fails(world, 0, DEAD)
    assert doubted(world) == [0]
    lasts(world, 0, "plays", 31)
    assert world.listed() == [0, 1]
    assert whys(world) == ["others_play"]
    fails(world, 1, DEAD)
    assert world.listed() == [0, 1]


def test_an_engine_on_which_an_old_stream_goes_on_and_nothing_new_begins_is_found() -> None:
    world = pool(2, TWO)
    lasts(world, 0, "old", 31)
    fails(world, 0, DEAD)
    world.run(10)
    world.sweep_streams()
    fails(world, 0, "f" * 40)
    assert doubted(world) == [0]


def test_what_moved_no_longer_than_a_client_waits_says_nothing_for_the_engine() -> None:
    """An engine may load what it does not hand on."""
    world = pool(2, TWO)
    lasts(world, 0, "loads", 20)
    fails(world, 0, DEAD)
    assert doubted(world) == [0]


@pytest.mark.parametrize(("viewers", "is_asked"), [(4, True), (3, False)])
def test_viewers_of_dead_channels_do_not_take_the_engines_from_others(
    viewers: int, is_asked: bool
) -> None:
    """They go from one to the next, and every 8 s one of a live channel comes and stays for 4 s."""
    world = pool(5, rules(min_replicas=1, max_replicas=5, auto_delete=False))
    served = refused = 0
    dead: dict[int, tuple[str, int]] = {}
    least = 5
    for second in range(21 * 8):
        if is_asked and second % 10 == 9:
            world.sweep_streams()
        for viewer in range(viewers):
            at = second - 5 * viewer
            if at >= 0 and at % 40 == 0 and (n := chosen(world)) is not None:
                name = f"dead {viewer} {second}"
                world.outside[slot(n)].peers = 0
                world.outside[slot(n)].plays = Verdict.STARVED
                world.play(slot(n), name, moving=False, key=f"{second:040x}")
                dead[viewer] = name, n
            elif at >= 0 and at % 40 == 20 and viewer in dead:
                name, n = dead.pop(viewer)
                world.leave(name, "timeout")
                world.outside[slot(n)].peers = 4
        if second % 8 == 0:
            n = chosen(world)
            served += n is not None
            refused += n is None
            if n is not None:
                world.outside[slot(n)].peers = 4
                world.play(slot(n), f"live {second}", key=WELL)
        if second % 8 == 4:
            world.leave(f"live {second - 4}", "client_disconnected")
        world.run(1)
        least = min(least, len(world.listed()))
    assert (served, refused) == (21, 0)
    assert least >= 4


def chosen(world: World) -> int | None:
    """By a client: the longest unused of the free ones."""
    free = [n for n in world.listed() if slot(n) not in world.state.playing]
    used = {n: e.mono if (e := world.engine(n).used) else 0.0 for n in free}
    return min(free, key=used.__getitem__, default=None)

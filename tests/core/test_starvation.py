"""Engines that get nothing from the network: told, and left alone."""

from acekeeper.core.facts import StreamsAsked
from acekeeper.core.model import Sample

from .world import World, pool, rules, slot

STILL = rules(min_replicas=0, auto_delete=False)


def sweep(world: World, seconds: float, **told: tuple[int, int]) -> None:
    """Streams passes for so long that find these peers and this speed."""
    for _ in range(int(seconds / 10)):
        samples = {
            (name, f"session-{name}"): Sample(world.now, "dl", peers, speed, 0, 0, 0)
            for name, (peers, speed) in told.items()
        }
        world.tell(StreamsAsked(*world.engine(0).ref, samples))
        world.run(10)


def starving(world: World) -> bool:
    hunger = world.engine(0).hunger
    return hunger is not None and hunger.told


def test_no_peers_and_no_speed_for_three_minutes_is_starvation_and_no_illness() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    world.happened.clear()
    sweep(world, 180, s=(0, 0))
    assert not starving(world)
    sweep(world, 20, s=(0, 0))
    assert starving(world)
    assert [(h.kind, h.engine, dict(h.data)) for h in world.happened] == [
        ("engine_starving", slot(0), {"seconds": 180.0, "streams": 1})
    ]
    sweep(world, 600, s=(0, 0))
    assert world.kinds() == ["engine_starving"]
    assert world.listed() == [0]
    assert world.taken == []


def test_one_stream_that_gets_something_feeds_it() -> None:
    for fed in ((1, 0), (0, 1)):
        world = pool(1, STILL)
        world.play(slot(0), "a")
        world.play(slot(0), "b")
        sweep(world, 200, a=(0, 0), b=(0, 0))
        assert starving(world)
        sweep(world, 10, a=(0, 0), b=fed)
        assert world.engine(0).hunger is None
        assert world.kinds()[-1] == "engine_fed"
        sweep(world, 170, a=(0, 0), b=(0, 0))
        assert not starving(world)


def test_what_could_not_be_asked_says_nothing_either_way() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    sweep(world, 100, s=(0, 0))
    sweep(world, 50)
    sweep(world, 50, s=(0, 0))
    assert starving(world)
    sweep(world, 50, another=(9, 900))
    assert starving(world)


def test_it_is_over_when_nobody_waits_any_more() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "a")
    world.play(slot(0), "b")
    sweep(world, 200, a=(0, 0), b=(0, 0))
    world.leave("a", "eof")
    assert starving(world)
    world.leave("b", "eof")
    assert world.engine(0).hunger is None
    assert world.kinds()[-2:] == ["stream_ended", "engine_fed"]
    world.play(slot(0), "c")
    sweep(world, 100, c=(0, 0))
    world.leave("c", "eof")
    assert world.kinds()[-1] == "stream_ended"

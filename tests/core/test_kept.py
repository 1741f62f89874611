"""What is kept of a stream: there are thousands of ended ones."""

import gc

from msgspec.structs import replace

from .world import World, pool, rules, slot, started

STILL = rules(min_replicas=0, auto_delete=False, keep_ended=9)


def ended(world: World, name: str, **told: str) -> None:
    world.tell(replace(started(name, slot(0)), **told))
    world.leave(name, "eof")


def test_streams_of_one_channel_share_its_key() -> None:
    world = pool(1, STILL)
    for name in ("s", "t"):
        ended(world, name, key=bytes(40).hex())  # each time another object
    one, other = world.state.streams.values()
    assert one.key is other.key


def test_a_command_url_is_derived_from_the_stat_url_of_its_engine() -> None:
    world = pool(1, STILL)
    at = "http://localhost:1/ace/{}/{}/token"
    infohash = "a" * 40
    ended(world, "s", stat_url=at.format("stat", infohash), command_url=at.format("cmd", infohash))
    (stream,) = world.state.streams.values()
    assert stream.own_command_url is None
    assert stream.command_url == at.format("cmd", infohash)


def test_a_command_url_that_says_something_else_is_kept() -> None:
    world = pool(1, STILL)
    for n, told in enumerate(("", "http://localhost:1/stop", "http://localhost:1/ace/cmd/0/other")):
        ended(world, f"s{n}", command_url=told)
        assert world.state.streams[f"s{n}"].command_url == told


def test_the_garbage_collector_need_not_look_at_ended_streams() -> None:
    world = pool(1, STILL)
    ended(world, "s")
    world.leave("t", "eof")  # it comes before its start
    stream, end = world.state.streams["s"], world.state.early_ends["t"]
    assert not any(map(gc.is_tracked, (stream, stream.started, stream.ended, end, end.at)))

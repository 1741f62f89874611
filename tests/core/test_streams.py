import pytest
from msgspec.structs import replace

from acekeeper.core import streams
from acekeeper.core.facts import (
    DrainRequested,
    EngineIdentified,
    Found,
    StreamEnded,
    StreamsAsked,
    TimePassed,
)
from acekeeper.core.model import KeyType
from acekeeper.core.streams import end_target

from .world import HOST, World, pool, rules, sample, slot, started

STILL = rules(min_replicas=0, auto_delete=False)


def playing(world: World) -> list[str]:
    return sorted(s.id for s in world.state.streams.values() if s.ended is None)


def test_a_stream_starts_on_its_engine_and_ends() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    stream = world.state.streams["s"]
    engine = world.engine(0)
    assert (stream.slot, stream.incarnation, stream.container_id) == (
        *engine.ref,
        engine.container_id,
    )
    assert stream.key_type is KeyType.INFOHASH
    assert engine.used == world.now
    assert not world.state.is_free(engine, world.rules)
    world.run(5)
    world.leave("s", "eof")
    assert world.state.streams["s"].ended == world.now
    assert world.state.streams["s"].reason == "eof"
    assert world.engine(0).free_since == world.now
    assert world.engine(0).used == world.now


def test_told_twice_it_started_and_ended_once() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    before = dict(world.state.streams)
    world.run(1)
    world.play(slot(0))
    assert world.state.streams == before
    world.leave("s", "eof")
    before = dict(world.state.streams)
    world.run(1)
    world.leave("s", "timeout")
    assert world.state.streams == before
    world.play(slot(0))  # the start comes once more, after the end
    assert world.state.streams == before
    assert world.kinds() == ["stream_started", "stream_ended"]


def test_an_end_before_its_start_is_remembered_for_an_hour() -> None:
    world = pool(1, STILL)
    world.leave("s", "eof")
    assert "s" not in world.state.streams
    world.run(3500)
    world.tell(TimePassed())
    world.play(slot(0))
    assert world.state.streams["s"].ended == world.now
    assert world.state.streams["s"].reason == "eof"
    assert world.state.early_ends == {}
    assert playing(world) == []


def test_and_not_for_longer() -> None:
    world = pool(1, STILL)
    world.leave("s", "eof")
    world.run(3600)
    world.tell(TimePassed())
    assert world.state.early_ends == {}
    world.play(slot(0))
    assert playing(world) == ["s"]


def test_an_early_end_told_twice_keeps_its_first_reason_and_moment() -> None:
    world = pool(1, STILL)
    world.leave("s", "eof")
    first = world.state.early_ends["s"]
    world.run(1)
    world.leave("s", "timeout")
    assert world.state.early_ends["s"] == first


def test_an_early_end_without_a_reason_is_an_end() -> None:
    world = pool(1, STILL)
    world.leave("s")
    world.play(slot(0))
    assert world.state.streams["s"].reason == "ended"


def test_another_session_of_the_same_id_supersedes_the_one_before() -> None:
    world = pool(2, STILL)
    world.play(slot(0))
    world.tell(started("s", slot(1), session="second"))
    assert world.state.streams["s"].session == "second"
    assert world.state.playing == {slot(1): {"s": None}}
    assert [h.data["reason"] for h in world.happened if h.kind == "stream_ended"] == ["superseded"]
    assert world.state.is_free(world.engine(0), world.rules)


def test_another_session_after_an_end_starts_anew() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    world.leave("s")
    world.tell(started("s", slot(0), session="second"))
    assert playing(world) == ["s"]
    assert world.state.ended == {}


def test_a_start_that_contradicts_the_first_one_changes_nothing() -> None:
    world = pool(2, STILL)
    world.play(slot(0))
    world.tell(started("s", slot(1)))
    assert world.state.streams["s"].slot == slot(0)
    assert slot(1) not in world.state.playing


def test_the_engine_is_found_by_address_the_most_trusted_first_then_by_container_id() -> None:
    world = pool(3, STILL)
    ids = [world.engine(n).container_id for n in range(3)]
    cases = [
        ((("localhost", 19000), (HOST, 19001)), ids[2], slot(0)),
        ((("proxy.example", 19000), ("::1", 19001)), ids[2], slot(1)),
        ((("localhost", 6878), (HOST, 19001)), ids[2], slot(1)),
        ((("proxy.example", 19000),), ids[2], slot(2)),
        ((("proxy.example", 19000),), "unknown", None),
        ((("localhost", 6878),), "", None),
    ]
    for n, (addresses, container_id, expected) in enumerate(cases):
        world.tell(started(f"s{n}", addresses=addresses, container_id=container_id))
        assert world.state.streams[f"s{n}"].slot == expected
        world.leave(f"s{n}")


def test_a_stream_on_an_engine_that_is_not_ours_is_listed_apart_and_dropped_in_time() -> None:
    world = pool(1, STILL)
    world.tell(started("a", addresses=(("proxy.example", 6878),)))
    world.run(10)
    world.tell(started("b", addresses=(("proxy.example", 6878),)))
    assert world.state.streams["a"].container_id == ""
    assert world.state.playing == {}
    assert list(world.state.elsewhere) == ["a", "b"]
    world.run(3590)
    world.happened.clear()
    world.tell(TimePassed())
    assert list(world.state.elsewhere) == ["b"]
    assert [(h.kind, h.stream) for h in world.happened] == [("stream_expired", "a")]
    world.leave("b")
    assert list(world.state.ended) == ["b"]


def test_an_event_for_a_start_without_a_name_is_of_it_or_of_the_one_before() -> None:
    world = World(STILL)
    world.connect()
    world.tell(started("before", slot(0)))
    world.run(0.1)
    world.request("r")
    world.tell(started("s", slot(0)))
    assert world.state.playing == {}
    world.run(1)
    assert world.state.playing == {slot(0): {"s": None}}
    assert list(world.state.elsewhere) == ["before"]
    assert world.state.streams["s"].incarnation == world.engine(0).incarnation
    world.run(10)
    assert world.given("r").slot == slot(1)  # not one engine for two viewers


def test_an_engine_found_later_takes_what_its_events_said_by_any_of_it() -> None:
    world = World(STILL)
    world.connect()
    proxy = ("proxy.example", 6878)
    cases = {
        "address": (((HOST, 19001),), ""),
        "second": ((proxy, ("localhost", 19001)), ""),
        "id": ((proxy, proxy), "id-1"),
        "other first": (((HOST, 19002), (HOST, 19001)), "id-1"),
        "other id": ((proxy,), "id-2"),
        "foreign": ((proxy, ("elsewhere.example", 19001)), "id"),
    }
    for name, (addresses, container_id) in cases.items():
        world.tell(started(name, addresses=addresses, container_id=container_id))
    assert world.state.playing == {}
    world.list_engines([Found(slot(1), "found-1", "id-1"), Found(slot(2), "found-2", "id-2")])
    assert set(world.state.playing[slot(1)]) == {"address", "second", "id"}
    assert set(world.state.playing[slot(2)]) == {"other first", "other id"}
    assert list(world.state.elsewhere) == ["foreign"]
    assert world.state.streams["id"].container_id == "id-1"


def test_an_engine_identified_later_takes_what_was_said_of_its_id() -> None:
    world = World(STILL)
    world.connect([Found(slot(1), "found-1", "")])
    world.tell(started("s", addresses=(("proxy.example", 6878),), container_id="late"))
    world.tell(EngineIdentified(slot(1), "found-1", "late"))
    assert world.state.playing == {slot(1): {"s": None}}


def test_one_that_we_started_takes_none_of_before_when_it_is_identified() -> None:
    world = World(STILL)
    world.script.container_id = False
    world.connect()
    world.tell(started("s", slot(0)))
    world.run(1)
    world.request("r")
    world.run(1)
    world.tell(EngineIdentified(slot(0), world.engine(0).incarnation, "late"))
    assert world.state.playing == {}
    world.list_engines([Found(slot(0), world.engine(0).incarnation, "late")])
    assert world.state.playing == {}
    assert list(world.state.elsewhere) == ["s"]


def test_an_engine_that_takes_a_stream_is_promised_to_nobody_else() -> None:
    world = World(STILL)
    world.script.container_id = False
    world.connect()
    world.request("r")
    world.run(1)
    first = world.engine(0).incarnation
    world.tell(started("s", addresses=(("proxy.example", 6878),), container_id="late"))
    world.tell(EngineIdentified(slot(0), first, "late"))
    assert world.state.playing == {slot(0): {"s": None}}
    assert world.engine(0).claim is None
    [request] = world.waiting()
    assert request.slot == slot(1)


def test_nor_is_it_stopped_before_its_new_stream_was_asked_about() -> None:
    world = World(rules(min_replicas=0, auto_delete=False, max_streams_per_engine=2))
    world.connect([Found(slot(1), "found-1", "")])
    world.play(slot(1), "a")
    world.tell(DrainRequested(slot(1), "found-1"))
    engine = world.engine(1)
    assert engine.drain is not None
    world.state.put(replace(engine, drain=replace(engine.drain, looked=world.now, idle=True)))
    world.tell(started("s", addresses=(("proxy.example", 6878),), container_id="late"))
    world.tell(EngineIdentified(slot(1), "found-1", "late"))
    drain = world.engine(1).drain
    assert drain is not None
    assert not drain.idle


def test_an_end_without_an_id_ends_the_only_stream_of_its_engine() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    end = StreamEnded("", container_id=world.engine(0).container_id)
    assert end_target(world.state, end) == world.state.streams["s"]
    world.tell(end)
    assert playing(world) == []


@pytest.mark.parametrize("container_id", ["", "unknown", "id-found-0"])
def test_and_ends_nothing_when_it_could_mean_another(container_id: str) -> None:
    world = pool(1, STILL)
    world.play(slot(0), "a")
    world.play(slot(0), "b")
    world.tell(StreamEnded("", container_id=container_id))
    assert playing(world) == ["a", "b"]
    assert world.state.early_ends == {}


def test_an_id_that_is_unknown_ends_no_other_stream() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    world.tell(StreamEnded("other", container_id=world.engine(0).container_id))
    assert playing(world) == ["s"]


def test_a_session_the_engine_does_not_know_is_over() -> None:
    world = pool(1, STILL)
    for name in ("a", "b", "c"):
        world.play(slot(0), name)
    told = sample(world.now, 200)
    a, b = (world.state.streams[name].ref for name in "ab")
    unknown = frozenset({b, ("nobody's", "session")})
    world.tell(StreamsAsked(*world.engine(0).ref, {a: told}, unknown))
    assert playing(world) == ["a", "c"]
    assert world.state.samples["a"] == told
    assert world.state.streams["b"].reason == "unknown_to_engine"
    assert "c" not in world.state.samples
    assert not world.state.is_free(world.engine(0), world.rules)


def test_what_is_told_of_a_session_says_nothing_of_the_next_one_with_its_id() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "x")
    ref = world.state.streams["x"].ref
    world.tell(StreamsAsked(*world.engine(0).ref, {ref: sample(world.now, 100)}))
    world.tell(started("x", slot(0), session="second"))
    world.tell(StreamsAsked(*world.engine(0).ref, {}, frozenset({ref})))
    world.tell(StreamsAsked(*world.engine(0).ref, {ref: sample(world.now, 200)}))
    assert playing(world) == ["x"]
    assert world.state.samples == {}


def test_the_last_sample_of_a_stream_is_kept_beside_it_as_long_as_the_stream() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False, keep_ended=0))
    world.play(slot(0), "a")
    before, revision = world.state.streams["a"], world.state.revision
    told = sample(world.now, 0)
    for n in range(5):
        told = sample(world.now, n + 1)
        samples = {before.ref: told, ("nobody's", "session"): told}
        world.tell(StreamsAsked(*world.engine(0).ref, samples))
    assert world.state.samples == {"a": told}
    assert world.state.streams["a"] is before
    assert world.state.revision == revision  # for who reads the streams nothing has changed
    world.leave("a", "eof")
    assert world.state.samples == {"a": told}
    world.tell(TimePassed())
    assert world.state.samples == {}


def test_what_an_engine_said_before_of_an_id_is_not_said_of_its_next_session() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "a")
    world.tell(
        StreamsAsked(*world.engine(0).ref, {world.state.streams["a"].ref: sample(world.now, 200)})
    )
    world.tell(started("a", slot(0), session="another"))
    assert world.state.samples == {}


def test_of_a_stream_its_engine_was_silent_about_nothing_is_known_until_it_speaks_again() -> None:
    world = pool(1, STILL)
    for name in ("a", "b"):
        world.play(slot(0), name)
    ref = world.engine(0).ref
    told = sample(world.now, 200)
    a, b = (world.state.streams[name].ref for name in "ab")
    world.tell(StreamsAsked(*ref, {a: told, b: told}))
    world.tell(StreamsAsked(*ref, {b: told}, silent=frozenset({a, ("nobody's", "session")})))
    assert [world.state.known(i) for i in ("a", "b")] == [None, told]
    assert world.state.samples["a"] == told  # a later one is compared with it
    world.tell(StreamsAsked(*ref, {a: told}))
    assert world.state.known("a") == told
    world.tell(StreamsAsked(*ref, silent=frozenset({a})))
    world.leave("a", "eof")
    assert "a" not in world.state.heard


def test_ended_streams_are_kept_up_to_a_number_and_still_remembered() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False, keep_ended=3))
    for n in range(5):
        world.play(slot(0), f"s{n}")
        world.leave(f"s{n}", "eof")
        world.run(1)
    world.tell(TimePassed())
    assert list(world.state.ended) == ["s2", "s3", "s4"]
    assert list(world.state.early_ends) == ["s0", "s1"]
    world.play(slot(0), "s0")  # told once more, long after
    assert playing(world) == []
    world.run(3600)
    world.tell(TimePassed())
    assert world.state.early_ends == {}


def test_every_event_forgets_more_than_it_adds() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False, keep_ended=3))
    for n in range(50):
        world.play(slot(0), f"s{n}")
        world.leave(f"s{n}", "eof")
        assert len(world.state.ended) <= 4
    assert len(world.state.early_ends) >= 46  # they are remembered all the same


@pytest.mark.parametrize("is_known", [True, False])
def test_of_more_ends_than_there_are_in_an_hour_the_newest_are_remembered(
    monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    monkeypatch.setattr(streams, "_EARLY_ENDS_MOST", 5)
    world = pool(1, rules(min_replicas=0, auto_delete=False, keep_ended=3))
    for n in range(50):
        if is_known:
            world.play(slot(0), f"s{n}")
        world.leave(f"s{n}", "eof")
        assert len(world.state.early_ends) <= 7
    world.tell(TimePassed())
    last = 47 if is_known else 50
    assert list(world.state.early_ends) == [f"s{n}" for n in range(last - 5, last)]


def test_an_old_end_is_not_remembered_behind_a_young_one() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False, keep_ended=0))
    world.play(slot(0))
    world.leave("s")
    world.run(3600)
    world.leave("young")
    world.tell(TimePassed())
    assert list(world.state.early_ends) == ["young"]


def test_an_ended_stream_older_than_an_hour_is_forgotten_whole() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False, keep_ended=0))
    world.play(slot(0))
    world.leave("s")
    world.run(3600)
    world.tell(TimePassed())
    assert world.state.streams == {}
    assert world.state.early_ends == {}

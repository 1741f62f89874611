import math

import pytest
from msgspec.structs import replace

from acekeeper.core import admission
from acekeeper.core.actions import Answer, AskStreams, Code, Drain, Grant, Start, TakeBack
from acekeeper.core.facts import (
    EngineAnswered,
    EngineSilent,
    EnginesListed,
    EnginesSurveyed,
    EngineStopFailed,
    RuntimeConnected,
    RuntimeLost,
    ScaleRequested,
    StreamsAsked,
    TimePassed,
)
from acekeeper.core.model import Phase

from .world import HOST, World, pool, rules, sample, slot, started

STILL = rules(min_replicas=0, auto_delete=False)


def drain(world: World, n: int) -> None:
    """As an operator asks for it."""
    world._take(Drain(*world.engine(n).ref, "asked"))
    world._plan()


def test_engines_are_kept_free_and_unclaimed_starting_ones_count() -> None:
    world = World(rules(min_replicas=2))
    world.connect()
    world.run(5)
    assert len(world.starts()) == 2
    world.run(5)
    world.play(slot(0))
    world.run(5)
    assert len(world.starts()) == 3


def test_nothing_is_scaled_before_the_survey() -> None:
    world = World()
    world.tell(RuntimeConnected())
    world.list_engines()
    world.run(100)
    assert world.starts() == []
    world.tell(EnginesSurveyed(()))
    assert world.starts() == [Start(slot(0))]


def test_a_survey_before_the_listing_is_none() -> None:
    world = World()
    world.tell(EnginesSurveyed(()))
    world.tell(RuntimeConnected())
    world.run(10)
    assert world.starts() == []
    world.list_engines()
    assert world.starts() == []


def test_nothing_is_planned_while_the_runtime_is_lost() -> None:
    world = pool(3)
    world.tell(RuntimeLost("bus gone"))
    world.run(200)
    assert world.taken == []
    world.request("r")
    assert world.given("r").slot == slot(0)  # what runs can be handed out all the same


def test_an_engine_too_many_is_drained_after_its_grace_the_longest_idle_first() -> None:
    world = pool(3, rules(min_replicas=1))
    for n in (1, 0, 2):
        world.play(slot(n), f"s{n}")
        world.leave(f"s{n}")
        world.run(0.1)
    world.run(29.5)
    assert world.listed() == [0, 1, 2]
    world.run(200)
    drained = [(h.engine, h.data["reason"]) for h in world.happened if h.kind == "engine_draining"]
    assert drained == [(slot(n), "scale_down") for n in (1, 0)]
    assert world.listed() == [2]


def test_engines_go_one_at_a_time() -> None:
    world = pool(4, rules(min_replicas=1))
    world.run(11)
    assert world.listed() == [1, 2, 3]
    world.run(28)
    assert world.listed() == [1, 2, 3]
    world.play(slot(1), "s1")
    world.play(slot(2), "s2")
    world.run(100)  # those who came in the meantime have them
    assert world.listed() == [1, 2, 3]


def test_zapping_stops_and_starts_nothing() -> None:
    world = pool(3, rules(min_replicas=2))
    for n in range(200):
        world.play(slot(n % 3), f"s{n}")
        world.run(20)
        world.leave(f"s{n}")
        world.run(5)
    assert world.stops() == []
    assert world.starts() == []
    world.run(24)
    assert world.listed() == [0, 1, 2]
    world.run(2)
    assert world.listed() == [0, 1]  # 2 is idle for longest, but for 0 and 1 it is


def test_room_beside_a_stream_counts_as_free_since_the_stream_began() -> None:
    world = pool(2, rules(max_streams_per_engine=2))
    world.play(slot(0))
    world.run(29.9)
    assert world.listed() == [0, 1]
    world.run(0.2)
    assert world.listed() == [0]


def test_with_auto_delete_off_nothing_is_taken_away() -> None:
    world = pool(5, rules(auto_delete=False))
    world.run(1000)
    assert world.taken == []


def test_an_engine_handed_out_lately_is_not_drained_for_being_idle() -> None:
    world = pool(1, rules(min_replicas=0, engine_grace_period=25, max_streams_per_engine=2))
    world.play(slot(0), "before")
    world.run(1)
    world.request("r")
    world.play(slot(0), "after")
    world.leave("after")
    world.leave("before")
    world.run(59.9)
    assert world.engine(0).drain is None
    world.run(0.2)
    assert world.engine(0).drain is not None


def test_with_room_for_two_an_engine_that_plays_is_not_taken_away() -> None:
    world = pool(2, rules(max_streams_per_engine=2, min_replicas=0))
    world.play(slot(0))
    world.run(100)
    assert world.listed() == [0]


def test_a_drained_engine_is_off_the_list_for_half_a_minute_then_stopped() -> None:
    world = pool(1, STILL)
    drain(world, 0)
    assert world.listed() == []
    world.run(29.9)
    assert world.stops() == []
    world.run(0.2)
    assert [s.reason for s in world.stops()] == ["asked"]
    world.run(1)
    assert world.state.engines == {}
    assert world.state.breaker.failures == 0


def test_the_wait_counts_from_when_it_left_the_list() -> None:
    world = pool(1, STILL)
    world.outside[slot(0)].hung = True
    world.survey()
    world.run(20)
    drain(world, 0)
    world.run(10.1)
    assert len(world.stops()) == 1


def test_a_stream_that_moves_is_never_cut() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    drain(world, 0)
    world.run(500)
    assert world.stops() == []
    looks = [a for a in world.taken if isinstance(a, AskStreams)]
    assert len(looks) > 40
    world.leave("s")
    assert len(world.stops()) == 1


def test_a_stream_that_stands_still_does_not_hold_its_engine() -> None:
    world = pool(1, STILL)
    world.play(slot(0), moving=False)
    drain(world, 0)
    world.run(45)
    assert len(world.stops()) == 1
    assert world.state.streams["s"].reason == "engine_stopped:asked"


def test_one_look_at_a_stream_that_is_still_buffering_stops_nothing() -> None:
    world = pool(1, STILL)
    drain(world, 0)
    world.run(29.5)
    world.play(slot(0), moving=False)
    world.run(5)
    assert world.stops() == []
    world.outside[slot(0)].streams["s"] = True
    world.run(60)
    assert world.stops() == []


def test_an_idle_look_before_the_wait_is_over_stops_nothing() -> None:
    world = pool(1, STILL)
    world.play(slot(0), moving=False)
    world.tell(world.looked(*world.engine(0).ref))
    drain(world, 0)
    world.run(5)
    world.tell(world.looked(*world.engine(0).ref))  # the streams sweep
    world.outside[slot(0)].streams["s"] = True
    world.run(100)
    assert world.stops() == []


def test_a_stream_that_begins_on_a_drained_engine_is_looked_at_again() -> None:
    world = pool(1, STILL)
    world.request("r")
    drain(world, 0)
    world.run(35)
    world.tell(world.looked(*world.engine(0).ref))  # idle: nobody plays yet
    assert world.stops() == []  # for its claim
    world.play(slot(0))
    world.run(100)
    assert world.stops() == []


def test_a_claim_holds_a_drained_engine_until_it_lapses() -> None:
    world = pool(1, STILL)
    world.request("r")
    drain(world, 0)
    world.run(59)
    assert world.stops() == []
    world.run(1.1)
    assert len(world.stops()) == 1


def test_a_request_that_waits_for_a_drained_engine_gets_another() -> None:
    world = World(rules(min_replicas=0))
    world.connect()
    world.request("r")
    world.run(1)
    drain(world, 0)
    assert world.taken[-1] == Start(slot(1), "r")
    world.run(2)
    assert world.given("r").slot == slot(1)


def test_what_the_engine_does_not_know_does_not_hold_it() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "gone")
    world.play(slot(0), "s", moving=False)
    world.tell(world.looked(*world.engine(0).ref))
    drain(world, 0)
    world.run(31)
    del world.outside[slot(0)].streams["gone"]
    world.tell(world.looked(*world.engine(0).ref))
    assert len(world.stops()) == 1


def test_an_engine_that_does_not_answer_for_its_streams_is_not_called_idle() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    drain(world, 0)
    world.run(31)
    for _ in range(5):
        world.tell(StreamsAsked(*world.engine(0).ref))
    assert world.stops() == []


def test_a_look_is_no_part_of_the_drain_after_one_that_was_taken_back() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    drain(world, 0)
    world.run(29.99)
    world.now = world.now.after(0.02)
    world.tell(TimePassed())
    assert (going := world.engine(0).drain)
    assert going.looking
    world.state.put(replace(world.engine(0), drain=None, unlisted=None))
    drain(world, 0)
    assert (going := world.engine(0).drain)
    assert not going.looking


def test_a_look_at_a_session_says_nothing_of_the_next_one_with_its_id() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "x")
    ref = world.state.streams["x"].ref
    drain(world, 0)
    world.tell(started("x", slot(0), session="second"))
    world.tell(StreamsAsked(*world.engine(0).ref, {}, frozenset({ref})))
    going = world.engine(0).drain
    assert going is not None
    assert not going.idle


def test_a_look_at_an_earlier_start_says_nothing() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    drain(world, 0)
    before = world.engine(0)
    ref = world.state.streams["s"].ref
    world.tell(StreamsAsked(slot(0), "earlier", {ref: sample(world.now)}, frozenset({ref})))
    assert world.engine(0) == before
    assert world.state.streams["s"].ended is None


def test_a_stop_that_failed_is_asked_for_again() -> None:
    world = pool(1, STILL)
    drain(world, 0)
    world.outside.clear()
    world.run(30)
    (stop,) = world.stops()
    world.tell(EngineStopFailed(stop.slot, stop.incarnation, "bus gone"))
    assert world.engine(0).phase is Phase.STOPPING
    world.run(5)
    assert world.stops() == [stop, stop]


def test_an_engine_that_is_overdue_and_drained_is_stopped_once() -> None:
    world = World(rules(min_replicas=0, startup_grace=31))
    world.script.ready_after = math.inf
    world.connect()
    world.request("r")
    world.run(1)
    drain(world, 0)
    world.now = world.now.after(100)
    world.tell(EngineSilent(*world.engine(0).ref, "refused"))
    assert [s.slot for s in world.stops()].count(slot(0)) == 1


def test_a_drained_starting_engine_no_longer_counts_as_kept() -> None:
    world = World(rules(min_replicas=1))
    world.connect()
    world.run(1)
    drain(world, 0)
    assert world.taken[-1] == Start(slot(1))


def test_a_list_of_another_host_takes_nothing_away() -> None:
    world = pool(2, STILL)
    world.tell(EnginesListed("elsewhere", "boot-9", world.now, ()))
    assert HOST != "elsewhere"
    assert world.listed() == [0, 1]


def scaled_down(count: int, **numbers: object) -> World:
    """A pool whose last engine but those to keep is being drained."""
    world = pool(count, rules(min_replicas=0, **numbers))
    world.run(11)
    assert [e.drain.reason for e in world.state.engines.values() if e.drain] == ["scale_down"]
    world.taken.clear()
    world.happened.clear()
    return world


def test_a_drain_that_only_scales_down_is_taken_back_for_a_viewer() -> None:
    world = scaled_down(1, max_replicas=1)
    assert admission.blocked(world.state, world.rules, world.now) is None
    world.request("r")
    assert world.given("r").slot == slot(0)
    assert world.taken == [TakeBack(slot(0), "found-0"), Grant("r", slot(0)), Answer("r")]
    assert world.listed() == [0]
    assert world.engine(0).unlisted is None
    [told] = [h for h in world.happened if h.kind == "drain_taken_back"]
    assert (told.engine, told.data["seconds"]) == (slot(0), 0.99)
    world.play(slot(0))
    world.run(300)
    assert world.stops() == []


def test_for_a_viewer_too_a_free_engine_goes_before_it() -> None:
    world = scaled_down(2)
    world.request("r")
    assert world.given("r").slot == slot(1)
    assert world.listed() == [1]
    world.request("next")
    assert world.given("next").slot == slot(0)


def test_before_an_engine_is_started_to_be_kept_a_drain_is_taken_back() -> None:
    world = pool(2)
    world.run(11)
    assert world.listed() == [1]
    world.play(slot(1))
    assert world.listed() == [0, 1]
    world.run(300)
    assert world.starts() == []
    assert world.stops() == []


def test_before_an_engine_is_started_for_an_operator_too() -> None:
    world = scaled_down(2)
    world.tell(ScaleRequested(2))
    assert world.taken == [TakeBack(slot(0), "found-0")]


def test_no_other_drain_is_taken_back() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False, max_replicas=1))
    drain(world, 0)
    world.request("r")
    assert world.refused("r").code is Code.MAX_CAPACITY
    world = pool(1, rules(min_replicas=0, auto_delete=False, max_replicas=1))
    world.outside[slot(0)].hung = True
    world.run(1)
    for _ in range(3):
        world.survey()
    world.run(60)
    [told] = [h for h in world.happened if h.kind == "engine_draining"]
    assert told.data["reason"] == "unhealthy"
    world.outside[slot(0)].hung = False
    world.survey()
    world.request("r")
    assert world.refused("r").code is Code.MAX_CAPACITY


def test_nor_that_of_an_engine_that_is_not_well_or_in_use_or_stopped() -> None:
    world = scaled_down(1, max_replicas=1)
    world.tell(EngineSilent(*world.engine(0).ref, "refused"))
    world.request("suspect")
    refusal = world.refused("suspect")
    assert (refusal.code, refusal.eta) == (Code.MAX_CAPACITY, 30)
    world.tell(EngineAnswered(*world.engine(0).ref))
    world.play(slot(0))
    world.request("plays")
    assert world.refused("plays").code is Code.MAX_CAPACITY
    world.leave("s")
    world.run(29.2)
    assert world.engine(0).phase is Phase.STOPPING
    world.request("stopping")
    assert world.refused("stopping").code is Code.MAX_CAPACITY


@pytest.mark.parametrize("retries_every", [8, 15, 30])
def test_two_hours_of_a_viewer_who_retries_cost_one_start(retries_every: int) -> None:
    """The first visit takes the free engine, another is started; then both are there, and what
    is drained between two visits is taken back."""
    world = pool(1, rules(min_replicas=1, max_replicas=5))
    world.taken.clear()
    for n in range(2 * 60 * 60 // (20 + retries_every)):
        free = [e for e in world.state.engines.values() if world.state.is_free(e, world.rules)]
        longest = min(free, key=lambda e: (e.idle_since.mono, e.slot))
        world.play(longest.slot, f"visit {n}", moving=False, key="d" * 40)
        world.outside[longest.slot].peers = 0
        for _ in range(2):
            world.sweep_streams()
            world.run(10)
        world.leave(f"visit {n}", "timeout")
        world.run(retries_every)
        world.survey()
    assert len(world.starts()) == 1

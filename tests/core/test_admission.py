import math

import pytest

from acekeeper.core import admission
from acekeeper.core.actions import Ask, Code, Grant, Start, Stop
from acekeeper.core.facts import (
    AnswerDelivered,
    AnswerLost,
    EngineSilent,
    EnginesListed,
    EngineStartFailed,
    ProvisionRequested,
    RuntimeConnected,
)
from acekeeper.core.model import Phase
from acekeeper.core.plan import plan

from .world import HOST, RULES, Outside, World, pool, rules, slot, started

NONE_KEPT = rules(min_replicas=0)
KEPT_AS_IT_IS = rules(min_replicas=0, auto_delete=False)


def test_a_start_that_is_ready_before_the_client_looks_goes_before_a_free_engine() -> None:
    world = pool(1)
    world.play(slot(0))
    world.leave("s")
    assert world.taken == [Start(slot(1))]
    assert world.state.is_free(world.engine(0), world.rules)
    world.run(2)
    world.request("r")
    assert world.taken[-1] == Grant("r", slot(1))


def test_a_free_engine_goes_before_a_start_that_is_not() -> None:
    world = pool(1)
    world.play(slot(0))
    world.leave("s")
    assert world.taken == [Start(slot(1))]
    world.request("r")
    assert world.given("r").slot == slot(0)
    world.request("next")
    assert world.taken[-1] == Grant("next", slot(1))


def silent_start(seconds: float, **numbers: object) -> World:
    """A spare engine is starting and has not answered for so long."""
    world = World(rules(min_replicas=1, **numbers))
    world.script.ready_after = math.inf
    world.connect()
    world.run(seconds)
    world.script.ready_after = 6
    assert world.starts() == [Start(slot(0))]
    return world


def test_a_start_that_has_been_silent_for_long_goes_after_free_engines_and_new_starts() -> None:
    world = silent_start(25)
    world.request("r")
    assert world.taken[-1] == Start(slot(1), "r")
    world = pool(1, KEPT_AS_IT_IS)
    world.script.ready_after = math.inf
    world.request("gone", port=19005)
    world.run(1)
    world.tell(AnswerLost("gone"))
    world.run(24)
    world.request("r")
    assert world.given("r").slot == slot(0)


def test_where_nothing_else_is_to_be_had_it_is_given_all_the_same() -> None:
    world = silent_start(25, max_replicas=1)
    assert admission.blocked(world.state, world.rules, world.now) is None
    world.request("r")
    assert world.taken[-1] == Grant("r", slot(0))
    world = silent_start(25, max_concurrent_provisions=1)
    world.request("r")
    assert world.taken[-1] == Grant("r", slot(0))


def test_but_not_because_of_a_moment_between_two_starts() -> None:
    world = silent_start(25, min_provision_interval=1)
    for name in "abcde":
        world.request(name)
    world.run(2.4)
    promised = {r.id: r.slot for r in world.waiting()}
    assert promised == {"a": slot(1), "b": slot(2), "c": slot(3), "d": slot(0)}
    assert world.refused("e").should_wait


def test_of_two_starting_engines_the_one_likely_to_be_ready_first_goes_first() -> None:
    world = World(rules(min_replicas=2))
    world.script.ready_after = math.inf
    world.connect()
    world.run(3)
    world.request("r")
    assert Grant("r", slot(0)) in world.taken
    world = World(rules(min_replicas=2, min_provision_interval=8))
    world.script.ready_after = math.inf
    world.connect()
    world.run(11)
    assert world.starts() == [Start(slot(0)), Start(slot(1))]
    world.request("r")
    assert world.taken[-1] == Grant("r", slot(1))  # due in 3 s; the other is late by 5


def test_of_engines_found_running_an_answer_is_expected_at_once() -> None:
    world = World(NONE_KEPT)
    world.outside[slot(3)] = Outside(slot(3), "found", "id", 0.0)
    world.connect(world.running())
    world.request("r")
    assert world.taken[-1] == Grant("r", slot(3))


def test_then_the_one_that_was_free_longest() -> None:
    world = pool(3, KEPT_AS_IT_IS)
    for n in (2, 0, 1):
        world.play(slot(n), f"s{n}")
        world.run(1)
    for n in (1, 2, 0):
        world.leave(f"s{n}")
        world.run(1)
    world.request("r")
    assert world.given("r").slot == slot(1)


def test_an_engine_handed_out_lately_rests_although_it_is_free() -> None:
    world = pool(2, rules(auto_delete=False, max_streams_per_engine=2))
    for n, name in enumerate("ab"):
        world.request(name)
        assert world.given(name).slot == slot(n)
        world.play(slot(n), f"s{n}")
        assert world.state.is_free(world.engine(n), world.rules)
    world.run(30)
    world.request("c")
    assert isinstance(world.taken[-1], Start)
    world.run(30)
    world.request("d")
    assert world.given("d").slot == slot(0)


def test_one_whose_viewer_came_and_left_has_rested() -> None:
    world = pool(1, rules(max_replicas=1, auto_delete=False))
    world.request("a")
    world.run(5)
    world.play(slot(0))
    world.run(5)
    world.leave("s")
    assert admission.blocked(world.state, world.rules, world.now) is None
    world.request("b")
    assert world.given("b").slot == slot(0)
    world.request("c")
    assert world.refused("c").eta == 60


def test_not_while_another_plays_nor_by_a_stream_that_was_there_before() -> None:
    world = pool(1, rules(max_replicas=1, max_streams_per_engine=2, auto_delete=False))
    world.play(slot(0), "before")
    world.run(1)
    world.request("a")
    world.play(slot(0), "after")
    world.leave("after")
    assert world.engine(0).handed is not None
    world.leave("before")
    assert world.engine(0).handed is not None
    world.request("b")
    assert world.refused("b").eta == 60


def test_with_room_for_two_the_emptiest_engine_goes_first() -> None:
    world = pool(2, rules(max_streams_per_engine=2))
    world.play(slot(0), "s")
    world.request("r")
    assert world.given("r").slot == slot(1)
    world.request("r2")
    assert world.given("r2").slot == slot(0)


def test_then_a_new_one_is_started() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r", labels={"a": "b"})
    assert world.taken == [Start(slot(0), "r")]
    assert world.engine(0).labels == {"a": "b"}


def test_an_engine_has_the_labels_of_the_last_request_that_brought_any() -> None:
    world = pool(1, KEPT_AS_IT_IS)
    for request, labels in (("a", {"x": "1"}), ("b", {"y": "2"}), ("c", {})):
        world.request(request, labels=labels)
        world.run(61)
    assert world.engine(0).labels == {"y": "2"}


def test_a_starting_engine_somebody_plays_on_is_not_handed_out() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r")
    world.run(3)
    world.play(slot(0))
    assert world.engine(0).phase is Phase.STARTING
    assert world.engine(0).claim is None
    world.request("other")
    assert world.taken[-1] == Start(slot(1), "other")


def test_no_number_of_engines_to_be_asked_holds_up_a_request() -> None:
    world = World(NONE_KEPT)
    for n in range(99):
        world.outside[slot(n)] = Outside(slot(n), f"found-{n}", f"id-{n}", 0.0)
    world._apply(RuntimeConnected())
    world._apply(EnginesListed(HOST, "boot", world.now, tuple(world.running())))
    world._apply(ProvisionRequested("r"))
    first = plan(world.state, world.rules, world.now).actions
    assert 0 < sum(isinstance(action, Ask) for action in first) < 99
    assert Grant("r", slot(0)) in first


def test_nor_does_it_hide_that_an_engine_is_just_being_stopped() -> None:
    world = World(rules(min_replicas=1, max_replicas=100))
    world.script.ready_after = math.inf
    world.connect()
    world.run(30.1)
    stuck = world.engine(0)
    assert stuck.phase is Phase.STARTING
    for n in range(1, 99):
        world.outside[slot(n)] = Outside(slot(n), f"found-{n}", f"id-{n}", math.inf)
    world.now = world.now.after(1)
    world._apply(EnginesListed(HOST, "boot-1", world.now, tuple(world.running())))
    world._apply(EngineSilent(*stuck.ref, "refused"))  # its grace is over
    world._apply(ProvisionRequested("r"))
    first = plan(world.state, world.rules, world.now).actions
    assert [action.slot for action in first if isinstance(action, Stop)] == [slot(0)]
    assert not any(isinstance(action, Grant) for action in first)


def test_twenty_requests_in_one_instant_never_share_an_engine() -> None:
    world = pool(8, rules(min_provision_interval=0, rush_lasts=0))
    for n in range(20):
        world.request(f"r{n}")
    world.run(10)
    given = [o.slot for o in (world.answers[f"r{n}"] for n in range(20)) if hasattr(o, "slot")]
    assert len(given) == len(set(given)) == 8 + world.rules.max_concurrent_provisions
    for n in range(13, 20):
        assert world.refused(f"r{n}").should_wait
    assert len(world.state.engines) == 14  # and one more to keep one free


@pytest.mark.parametrize("cap", [1, 3, 6])
def test_the_cap_holds_for_requests_and_for_keeping_engines_free(cap: int) -> None:
    world = World(rules(max_replicas=cap, min_replicas=5, min_provision_interval=0.1))
    world.connect()
    for n in range(10):
        world.request(f"r{n}")
        world.run(0.3)
        assert len(world.state.engines) <= cap
    world.run(30)
    assert len(world.state.engines) == cap
    assert len(world.starts()) == cap


def test_no_more_than_so_many_start_at_once() -> None:
    world = World(rules(min_replicas=9, max_concurrent_provisions=2, min_provision_interval=0))
    world.connect()
    world.run(6)
    assert len(world.starts()) == 2
    world.run(1)
    assert len(world.starts()) == 4


def test_starts_keep_their_interval() -> None:
    world = World(rules(min_replicas=3))
    world.connect()
    assert len(world.starts()) == 1
    world.run(0.49)
    assert len(world.starts()) == 1
    world.run(0.02)
    assert len(world.starts()) == 2


def test_a_request_waits_for_the_interval_only_while_its_answer_fits() -> None:
    world = World(rules(min_replicas=0, min_provision_interval=1))
    world.connect()
    for name in "abcd":
        world.request(name)
    refusal = world.refused("d")
    assert (refusal.code, refusal.eta, refusal.should_wait) == (Code.GENERAL_ERROR, 3, True)
    world.run(5)
    assert [world.given(name).slot for name in "abc"] == [slot(0), slot(1), slot(2)]
    assert all(world.answered_at[name] == 2.5 for name in "abc")


def test_requests_go_before_engines_to_keep() -> None:
    world = World(rules(max_concurrent_provisions=1, min_replicas=1))
    world.connect()
    world.run(6)
    world.run(20)
    world.play(slot(0))
    assert [s.request for s in world.starts()] == [None, None]
    world.request("r")
    assert world.taken[-1] == Grant("r", slot(1))


def test_the_answer_comes_with_readiness() -> None:
    world = World(NONE_KEPT)
    world.script.ready_after = 1
    world.connect()
    world.request("r")
    world.run(2.4)
    assert world.given("r").listed
    assert 1.3 <= world.answered_at["r"] <= 1.6


def test_or_with_the_address_of_a_live_start_after_two_and_a_half_seconds() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r")
    world.run(10)
    assert world.answered_at["r"] == 2.5
    assert world.given("r").phase is Phase.STARTING
    assert world.given("r").container_id


def test_a_start_without_an_id_is_refused_then_and_goes_on_for_the_next() -> None:
    world = World(NONE_KEPT)
    world.script.named_after = 3
    world.connect()
    world.request("r")
    world.run(2.5)
    refusal = world.refused("r")
    assert (refusal.code, refusal.eta, refusal.should_wait) == (Code.GENERAL_ERROR, 2, True)
    world.request("next")
    assert world.taken[-1] == Grant("next", slot(0))
    world.run(3)
    assert world.given("next").slot == slot(0)
    assert len(world.starts()) == 1


def test_a_start_that_fails_sends_its_request_to_another() -> None:
    world = World(NONE_KEPT)
    world.script.fails = "no image"
    world.connect()
    world.request("r")
    world.run(0.4)
    world.script.fails = ""
    world.run(5)
    assert world.given("r").slot == slot(1)


def test_an_abandoned_request_leaves_its_engine_to_the_next() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("gone")
    world.run(1)
    world.tell(AnswerLost("gone"))
    world.request("next")
    assert world.taken[-1] == Grant("next", slot(0))


def test_an_answer_lost_on_its_way_gives_the_engine_back_rested() -> None:
    world = pool(1, KEPT_AS_IT_IS)
    world.deliver = False
    world.request("gone")
    assert world.engine(0).claim is not None
    world.tell(AnswerLost("gone"))
    assert world.engine(0).claim is None
    world.request("next")
    assert world.given("next").slot == slot(0)


def test_a_claim_lapses_after_a_minute() -> None:
    world = pool(1, rules(auto_delete=False))
    world.request("r")
    world.run(59.9)
    assert world.engine(0).claim is not None
    world.run(0.2)
    assert world.engine(0).claim is None
    assert world.state.is_free(world.engine(0), world.rules)


def test_a_claim_ends_with_the_start_of_its_stream() -> None:
    world = pool(1)
    world.request("r")
    world.play(slot(0))
    assert world.engine(0).claim is None


def test_also_when_the_end_overtook_the_start() -> None:
    world = pool(1)
    world.request("r")
    world.leave("s")
    world.play(slot(0), "s")
    assert world.engine(0).claim is None
    assert world.engine(0).free_since == world.now


def test_a_stream_on_a_promised_engine_sends_the_request_to_another() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r")
    world.run(1)
    world.tell(started("s", slot(0)))
    assert world.taken[-1] == Start(slot(1), "r")
    world.run(5)
    assert world.given("r").slot == slot(1)


def test_at_the_cap_the_eta_is_the_end_of_the_next_hand_out() -> None:
    world = pool(1, rules(max_replicas=1))
    world.request("a")
    world.run(13)
    world.request("b")
    refusal = world.refused("b")
    assert (refusal.code, refusal.eta) == (Code.MAX_CAPACITY, 47)
    assert not refusal.should_wait
    assert admission.blocked(world.state, world.rules, world.now) == refusal
    world.run(44)
    world.request("c")
    world.run(3)
    assert world.refused("c").should_wait
    assert world.refused("c").eta == 3
    world.run(1)
    assert admission.blocked(world.state, world.rules, world.now) is None


def test_the_hand_out_of_a_starting_engine_ends_too() -> None:
    world = World(rules(max_replicas=1, min_replicas=0, startup_grace=100))
    world.script.ready_after = 50
    world.connect()
    world.request("a")
    world.run(12.5)
    world.request("b")
    assert world.refused("b").eta == 50


def test_at_the_cap_nobody_knows_when_a_viewer_leaves() -> None:
    world = pool(1, rules(max_replicas=1))
    world.play(slot(0))
    world.request("r")
    refusal = world.refused("r")
    assert (refusal.code, refusal.eta, refusal.should_wait) == (Code.MAX_CAPACITY, None, False)


def test_at_the_cap_an_engine_that_has_nearly_rested_is_waited_for() -> None:
    world = pool(1, rules(max_replicas=1, max_streams_per_engine=2))
    world.request("a")
    world.play(slot(0))
    world.run(58.5)
    world.request("b")
    world.run(3)
    assert world.given("b").slot == slot(0)
    assert world.answered_at["b"] == 20 + 60


def test_a_place_somebody_waits_for_is_not_left_for_the_next() -> None:
    world = World(rules(max_replicas=2, min_replicas=0, min_provision_interval=1))
    world.connect()
    for name in "abc":
        world.request(name)
    assert world.refused("c").code is Code.MAX_CAPACITY
    world.run(3)
    assert world.given("b").slot == slot(1)


def test_an_answer_on_its_way_does_not_shield_the_next_request_from_a_death() -> None:
    world = World(rules(min_replicas=0, ports=RULES.ports._replace(last=19000)))
    world.deliver = False
    world.connect()
    world.request("a")
    world.run(3)
    world.die(slot(0))
    world.request("b")
    world.run(1)
    world.die(slot(0))
    world.run(1.6)
    assert world.given("b").incarnation != world.given("a").incarnation


def test_busy_slots_are_waited_for_with_an_honest_eta() -> None:
    world = World(rules(max_concurrent_provisions=1, min_replicas=0))
    world.connect()
    world.request("a")
    world.run(3)
    world.request("b")
    refusal = world.refused("b")
    assert (refusal.code, refusal.eta, refusal.should_wait) == (Code.GENERAL_ERROR, 4, True)
    world.run(2)
    world.request("c")  # the slot should be free within 2 s: that still fits
    assert "c" not in world.answers
    world.run(3)
    assert world.given("c").slot == slot(1)


def test_a_request_that_waited_in_vain_is_refused_in_time() -> None:
    world = World(rules(max_concurrent_provisions=1, min_replicas=0))
    world.script.ready_after = 20
    world.connect()
    world.request("a")
    world.run(6)
    world.request("b")
    world.run(5)
    assert world.refused("b").should_wait
    assert world.answered_at["b"] == 8.5


def test_a_port_may_be_asked_for() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r", port=19042)
    assert world.taken == [Start(slot(42), "r")]


@pytest.mark.parametrize("port", [19000, 18999, 19100])
def test_a_port_in_use_or_out_of_range_is_a_conflict(port: int) -> None:
    world = pool(1)
    world.request("r", port=port)
    assert world.refused("r").conflict
    assert not world.refused("r").should_wait


def at_once(world: World, *requests: ProvisionRequested) -> None:
    for request in requests:
        world._apply(request)
    world._plan()


def test_of_two_who_ask_for_a_port_in_one_instant_the_first_has_it() -> None:
    world = World(NONE_KEPT)
    world.connect()
    at_once(world, *(ProvisionRequested(name, port=19042) for name in "ab"))
    assert world.taken[0] == Start(slot(42), "a")
    assert world.refused("b").conflict


def test_who_gets_nothing_in_the_instant_of_others_is_told_when_these_have_lapsed() -> None:
    world = pool(2, rules(max_replicas=2))
    at_once(world, *(ProvisionRequested(name) for name in "abc"))
    assert {world.given(name).slot for name in "ab"} == {slot(0), slot(1)}
    assert world.refused("c").eta == 60


def test_a_port_somebody_else_holds_is_a_conflict_after_one_try() -> None:
    world = World(NONE_KEPT)
    world.script.fails, world.script.excused = "port 19005 is taken", True
    world.connect()
    world.request("r", port=19005)
    world.run(5)
    assert world.refused("r").conflict
    assert len(world.starts()) == 1


def test_nothing_is_promised_before_the_runtime_was_listed() -> None:
    world = World()
    world.request("r")
    world.run(3)
    refusal = world.refused("r")
    assert (refusal.code, refusal.eta, refusal.should_wait) == (Code.GENERAL_ERROR, 2, True)


def test_an_engine_stopped_in_the_same_moment_is_not_promised() -> None:
    world = World(rules(startup_grace=10, min_replicas=1))
    world.script.ready_after = math.inf
    world.connect()
    world.run(10.2)
    first = world.engine(0)
    assert first.phase is Phase.STARTING
    world.now = world.now.after(1)
    world._apply(EngineSilent(*first.ref, "refused"))  # its grace is over, in the moment of
    world.request("r")
    [stop] = [n for n, action in enumerate(world.taken) if isinstance(action, Stop)]
    assert Grant("r", slot(0)) not in world.taken[stop:]


def test_an_answer_due_when_its_engine_is_stopped_is_not_given() -> None:
    world = World(rules(startup_grace=2.2, min_replicas=0))
    world.script.ready_after = math.inf
    world.connect()
    world.request("r")
    world.run(2.4)
    world.now = world.now.after(1)  # its deadline and that of the engine passed together
    world.tell(EngineSilent(*world.engine(0).ref, "refused"))
    assert world.refused("r").should_wait


def test_a_request_told_twice_is_one() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r")
    world.request("r")
    assert world.starts() == [Start(slot(0), "r")]


def test_a_delivery_nobody_waited_for_changes_nothing() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r")
    world.tell(AnswerDelivered("r"))
    world.tell(AnswerDelivered("other"))
    assert [r.id for r in world.waiting()] == ["r"]


def test_a_start_that_failed_twice_is_gone_once() -> None:
    world = World(NONE_KEPT)
    world.connect()
    world.request("r")
    for _ in range(2):
        world.tell(EngineStartFailed(slot(0), "no image"))
    assert world.state.breaker.failures == 1

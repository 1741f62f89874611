import math
from collections.abc import Callable

import pytest

from acekeeper.core import admission, breaker
from acekeeper.core.actions import Code, Start
from acekeeper.core.breaker import Circuit, circuit
from acekeeper.core.facts import (
    BreakerReset,
    EngineAnswered,
    EngineDied,
    EngineSilent,
    EngineStartFailed,
    Found,
    ScaleRequested,
    StopRequested,
)
from acekeeper.core.model import Breaker, Engine, Now, Phase
from acekeeper.core.restore import restore

from .test_restore import again
from .world import MONO, WALL, World, pool, rules, slot

FAILING = rules(min_replicas=0, breaker_threshold=3, breaker_timeout=100)


def where(world: World) -> Circuit:
    return circuit(world.state.breaker, world.rules, world.now)


def failing() -> World:
    """A world whose breaker has just opened."""
    world = World(rules(breaker_threshold=3, breaker_timeout=100))
    world.script.fails = "no image"
    world.connect()
    world.run(3)
    assert where(world) is Circuit.OPEN
    return world


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    world = World(FAILING)
    world.connect()
    world.script.fails = "no image"
    for n in range(3):
        assert where(world) is Circuit.CLOSED
        world.request(f"r{n}", port=19000 + n)
        world.run(0.6)
    assert where(world) is Circuit.OPEN


def test_an_excused_failure_does_not_count() -> None:
    world = World(FAILING)
    world.connect()
    world.script.fails, world.script.excused = "port 19000 is taken", True
    for n in range(5):
        world.request(f"r{n}", port=19000 + n)
        world.run(0.6)
    assert world.state.breaker == Breaker()


def test_open_it_stops_every_start_and_tells_how_long() -> None:
    world = failing()
    starts = len(world.starts())
    left = math.ceil(breaker.half_open_at(world.state.breaker, world.rules) - world.now.mono)
    world.request("r")
    refusal = world.refused("r")
    assert (refusal.code, refusal.eta) == (Code.CIRCUIT_BREAKER, left)
    assert not refusal.should_wait
    assert admission.blocked(world.state, world.rules, world.now) == refusal
    world.run(90)
    assert len(world.starts()) == starts


def test_an_open_breaker_still_hands_out_what_is_free() -> None:
    world = pool(1)
    world.state.put_breaker(Breaker(5, world.now, world.now))
    world.request("r")
    assert world.given("r").slot == slot(0)


def test_a_breaker_about_to_let_a_trial_through_is_waited_for() -> None:
    world = failing()
    world.script.fails = ""
    world.run(breaker.half_open_at(world.state.breaker, world.rules) - world.now.mono - 3.5)
    world.request("early")
    assert world.refused("early").should_wait
    assert world.refused("early").eta == 4
    world.run(2)
    world.request("r")
    world.run(10)
    assert world.given("r").container_id


def test_half_open_lets_exactly_one_trial_through() -> None:
    world = failing()
    world.script.fails = ""
    starts = len(world.starts())
    world.run(100)
    assert where(world) is Circuit.HALF_OPEN
    assert len(world.starts()) == starts + 1
    world.request("r")
    assert world.waiting()[0].slot is not None  # it gets the trial
    world.request("other")
    refusal = world.refused("other")
    assert (refusal.code, refusal.should_wait) == (Code.CIRCUIT_BREAKER, True)
    world.run(4)
    assert len(world.starts()) == starts + 1


def test_a_failed_trial_opens_it_for_another_round() -> None:
    world = failing()
    starts = len(world.starts())
    world.run(99.5)
    assert len(world.starts()) == starts + 1
    assert where(world) is Circuit.OPEN
    world.run(98)
    assert len(world.starts()) == starts + 1
    world.run(3)
    assert len(world.starts()) == starts + 2


def test_a_ready_trial_closes_it_on_probation() -> None:
    world = failing()
    world.script.fails, world.script.lives = "", 8  # ready after 6, dead 2 s later
    world.run(106.5)
    assert where(world) is Circuit.CLOSED
    world.run(2)
    assert where(world) is Circuit.OPEN


def test_an_engine_that_outlives_its_first_seconds_ends_the_row() -> None:
    world = failing()
    world.script.fails = ""
    world.run(106.5)
    assert world.state.breaker.failures == 2
    world.run(10)
    assert world.state.breaker.failures == 0


@pytest.mark.parametrize(("lives", "failures"), [(9.9, 1), (10.1, 0)])
def test_only_a_death_within_ten_seconds_of_readiness_counts(lives: float, failures: int) -> None:
    world = World(rules(min_replicas=0))
    world.connect()
    world.request("r")
    world.run(0.4)
    world.tell(EngineAnswered(*world.engine(0).ref))
    world.run(lives)
    world.die(slot(0))
    assert world.state.breaker.failures == failures


def test_excused_failures_are_not_repeated_at_once_for_ever() -> None:
    """Every port is taken, say, and nothing but the rules is slow."""
    world = World(rules(min_provision_interval=0))
    world.script.fails, world.script.excused = "port 19000 is taken", True
    world.script.named_after = 0
    world.connect()
    world.run(1)
    assert len(world.starts()) == 4
    world.run(60)
    assert len(world.starts()) <= 18
    world.script.fails = ""
    world.run(12)
    assert world.listed() != []
    assert world.state.excused == 0


def test_a_stop_by_somebodys_hand_is_no_failure_of_a_young_engine() -> None:
    world = World(rules(min_replicas=0))
    world.connect()
    world.request("r")
    world.run(1)
    world.die(slot(0), "stopped")
    [died] = [h for h in world.happened if h.kind == "engine_stopped"]
    assert died.data["early"] is False
    assert world.state.breaker.failures == 0


def test_nor_of_a_start_that_it_cut_short() -> None:
    world = World(rules(min_replicas=0))
    world.connect()
    world.request("r")
    world.tell(EngineStartFailed(slot(0), "its job was canceled", cause="stopped"))
    assert "engine_start_failed" in world.kinds()
    assert world.state.breaker.failures == 0


def test_a_start_that_is_never_ready_counts_once_its_grace_is_over() -> None:
    world = World(rules(min_replicas=0))
    world.script.ready_after = math.inf
    world.connect()
    world.request("r")
    world.run(30.2)
    assert world.state.breaker.failures == 0
    world.run(5)
    assert world.state.breaker.failures == 1
    assert [s.reason for s in world.stops()] == ["start_timeout"]
    assert world.state.engines == {}


@pytest.mark.parametrize(
    ("numbers", "named_after", "ends", "ran_out"),
    [
        ({"startup_grace": 30}, 5, 35, "the 30 s of PROVISION_STARTUP_GRACE_S"),
        ({"startup_grace": 30, "provision_timeout": 20}, 5, 20, "the 20 s of PROVISION_TIMEOUT_S"),
        ({"startup_grace": 10, "provision_timeout": 20}, 15, 20, "the 20 s of PROVISION_TIMEOUT_S"),
    ],
)
def test_a_start_that_is_never_ready_ends_in_time_and_says_what_ran_out(
    numbers: dict[str, object], named_after: float, ends: float, ran_out: str
) -> None:
    world = World(rules(min_replicas=0, **numbers))
    world.script.ready_after, world.script.named_after = math.inf, named_after
    world.connect()
    world.request("r")
    world.run(ends - 0.01)
    assert world.stops() == []
    world.run(0.02 + world.rules.ask_starting_every)
    assert len(world.stops()) == 1
    [failed] = [h for h in world.happened if h.kind == "engine_start_failed"]
    assert failed.data["why"] == f"not ready within {ran_out}"
    assert failed.data["cause"] == "start_timeout"


def test_the_failure_that_opens_it_stops_a_start_of_the_same_moment() -> None:
    world = World(rules(breaker_threshold=1, min_replicas=1, startup_grace=5))
    world.script.ready_after = math.inf
    world.connect()
    world.run(5.2)
    world.now = world.now.after(1)
    world._apply(EngineSilent(*world.engine(0).ref, "refused"))
    world.request("r")
    assert len(world.stops()) == 1
    assert world.taken.count(Start(slot(1), "r")) == 0
    assert world.refused("r").code is Code.CIRCUIT_BREAKER


def test_an_engine_that_settles_while_it_is_open_does_not_unsay_the_failures() -> None:
    world = failing()
    opened = world.state.breaker
    assert breaker.settled(opened) == opened


def test_it_is_restored_by_wall_clock() -> None:
    before = Now(WALL, 77.0)
    now = Now(WALL + 40, MONO)
    opened = now.of_wall(before.wall)
    state = restore(FAILING, now, breaker=Breaker(3, opened, opened))
    world = World(FAILING, state=state)
    world.now = now
    world.connect()
    world.request("r")
    assert world.refused("r").eta == 60


def test_a_wall_clock_set_back_does_not_open_it_for_longer() -> None:
    now = Now(WALL, MONO)
    opened = now.of_wall(WALL + 5000)
    assert breaker.seconds_left(Breaker(3, opened), FAILING, now) == 100


def test_of_a_threshold_of_one_each_failure_opens_it() -> None:
    one = rules(breaker_threshold=1)
    now = Now(WALL, MONO)
    assert circuit(breaker.failed(Breaker(), one, now), one, now) is Circuit.OPEN


def test_a_failure_while_open_does_not_prolong_it() -> None:
    now = Now(WALL, MONO)
    opened = Breaker(3, now, now)
    later = breaker.failed(opened, FAILING, now.after(50))
    assert later.opened == now
    assert later.failures == 4


def half_open(**numbers: object) -> World:
    """A world whose breaker has let a trial through that does not answer yet."""
    world = World(rules(breaker_threshold=3, breaker_timeout=100, startup_grace=20, **numbers))
    world.script.fails = "no image"
    world.connect()
    world.run(3)
    world.script.fails, world.script.ready_after = "", math.inf
    world.run(100)
    assert where(world) is Circuit.HALF_OPEN
    assert trial(world).phase is Phase.STARTING
    return world


def trial(world: World) -> Engine:
    [engine] = world.state.engines.values()
    return engine


def begin_three(world: World) -> None:
    world.tell(ScaleRequested(3))


def ask_for_three(world: World) -> None:
    for n in range(3):
        world.request(f"r{n}", port=19010 + n)


@pytest.mark.parametrize("begin", [begin_three, ask_for_three])
def test_however_starts_are_asked_for_there_is_one_trial_at_a_time(
    begin: Callable[[World], None],
) -> None:
    world = half_open()
    starts = len(world.starts())
    begin(world)
    world.run(15)
    assert len(world.starts()) == starts


@pytest.mark.parametrize("begin", [begin_three, ask_for_three])
def test_however_starts_are_asked_for_their_failures_count(begin: Callable[[World], None]) -> None:
    world = World(FAILING)
    world.script.fails = "no image"
    world.connect()
    begin(world)
    world.run(2)
    assert where(world) is Circuit.OPEN


def test_a_start_from_before_it_opened_is_the_trial_while_it_lasts() -> None:
    world = World(rules(min_replicas=0, breaker_threshold=1, breaker_timeout=10, answer_within=0.1))
    world.script.ready_after = 20
    world.connect()
    world.request("slow", port=19000)
    world.run(1)
    world.script.fails = "no image"
    world.request("failing", port=19001)
    world.run(11)
    assert where(world) is Circuit.HALF_OPEN
    world.script.fails = ""
    world.request("r", port=19002)
    world.run(0.2)
    assert world.refused("r").code is Code.CIRCUIT_BREAKER
    world.run(10)
    assert where(world) is Circuit.CLOSED


def test_a_trial_that_says_nothing_of_engines_makes_room_for_the_next() -> None:
    world = failing()
    world.script.fails, world.script.excused = "port 19000 is taken", True
    world.run(98)
    starts = len(world.starts())
    world.run(3)
    assert where(world) is Circuit.HALF_OPEN
    assert len(world.starts()) > starts + 1
    assert world.state.breaker.failures == 3


def test_a_trial_whose_end_nobody_saw_makes_room_for_the_next() -> None:
    world = half_open()
    starts = len(world.starts())
    world.outside.clear()
    world.now = world.now.after(1)
    world.list_engines()
    assert where(world) is Circuit.HALF_OPEN
    world.run(1)
    assert len(world.starts()) == starts + 1


def test_a_trial_a_reboot_took_makes_room_for_the_next() -> None:
    world = half_open()
    starts = len(world.starts())
    world.outside.clear()
    world.now = world.now.after(1)
    world.list_engines(boot="boot-2")
    assert where(world) is Circuit.HALF_OPEN
    assert len(world.starts()) == starts + 1


def test_a_trial_the_operator_stops_makes_room_for_the_next() -> None:
    world = half_open()
    starts = len(world.starts())
    world.tell(StopRequested(*trial(world).ref))
    world.run(5)
    assert where(world) is Circuit.HALF_OPEN
    assert len(world.starts()) == starts + 1


def test_a_trial_goes_on_over_a_restart_and_is_the_only_one() -> None:
    world = half_open()
    other = again(world)
    other.script = world.script
    other.connect(other.running())
    other.run(1)
    assert other.starts() == []
    other.tell(EngineAnswered(*trial(other).ref))
    assert where(other) is Circuit.CLOSED


def test_a_trial_found_again_without_a_name_is_the_only_one_too() -> None:
    world = half_open()
    found = world.running()
    world.state.engines.clear()
    other = again(world)
    other.connect(found)
    other.run(1)
    assert other.starts() == []
    other.tell(EngineDied(*trial(other).ref, "exited"))
    assert where(other) is Circuit.OPEN


def test_an_adopted_engine_that_never_answers_counts() -> None:
    world = World(rules(min_replicas=0))
    world.connect([Found(slot(0), "found", "id")])
    world.run(60)
    assert world.state.breaker.failures == 1


def test_a_start_that_was_answered_for_and_then_fails_counts() -> None:
    world = World(rules(min_replicas=0))
    world.connect()
    world.request("r")
    world.run(3)
    assert world.given("r").ready is None
    world.die(slot(0), "exited")
    assert world.state.breaker.failures == 1


def test_reset_the_way_is_open_at_once_and_nothing_is_counted() -> None:
    world = failing()
    last = world.state.breaker.last_failure
    world.script.fails = ""
    starts = len(world.starts())
    world.tell(BreakerReset())
    assert world.state.breaker == Breaker(0, None, last)
    world.run(1)
    assert len(world.starts()) == starts + 1
    [told] = [h.data for h in world.happened if h.kind == "breaker_reset"]
    assert told == {"failures": 3, "was_open": True}


def test_a_trial_under_way_at_a_reset_is_a_start_like_any_other() -> None:
    world = half_open()
    starts = len(world.starts())
    world.tell(BreakerReset())
    world.request("r", port=19010)
    assert len(world.starts()) == starts + 1
    world.die(slot(0), "exited")
    assert where(world) is Circuit.CLOSED
    assert world.state.breaker.failures == 1


def test_opened_by_a_clock_far_ahead_it_is_open_for_one_round_and_not_for_one_a_restart() -> None:
    now = Now(WALL, MONO)
    opened = now.of_wall(WALL + 1e9)
    state = restore(FAILING, now, breaker=Breaker(3, opened, opened))
    assert state.changes.breaker is not None
    assert state.changes.breaker.opened == now  # what is on disk for the next restart
    later = Now(WALL + 60, 5.0)
    state = restore(FAILING, later, breaker=Breaker(3, later.of_wall(WALL), opened))
    assert breaker.seconds_left(state.breaker, FAILING, later) == 40
    assert not state.changes


def test_what_an_engine_outlived_while_we_were_away_ends_the_row() -> None:
    world = failing()
    world.script.fails = ""
    world.run(106.5)
    assert world.state.breaker.failures == 2  # closed on probation
    world.now = world.now.after(60)
    other = again(world)
    other.connect(other.running())
    assert other.state.breaker.failures == 0


def test_but_not_failures_that_came_after_it() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False))
    world.script.fails = "no image"
    world.request("r", port=19001)
    world.run(2)
    other = again(world)
    other.connect(other.running())
    other.run(20)
    assert other.state.breaker.failures == 1

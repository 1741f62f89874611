import math
from collections.abc import Callable

import pytest

from acekeeper.core.facts import (
    BreakerReset,
    DrainRequested,
    RuntimeConnected,
    RuntimeLost,
    ScaleRequested,
    StopRequested,
    StreamStopped,
)
from acekeeper.core.model import Breaker, Phase

from .test_restore import again
from .world import World, pool, rules, slot, started

STILL = rules(min_replicas=0, auto_delete=False)


def drain(world: World, n: int) -> None:
    world.tell(DrainRequested(*world.engine(n).ref))


def stop(world: World, n: int) -> None:
    world.tell(StopRequested(*world.engine(n).ref))


def starting(world: World) -> None:
    """One engine that is started for a request and does not answer yet."""
    world.script.ready_after = math.inf
    world.connect()
    world.request("r")
    world.run(1)
    assert world.engine(0).phase is Phase.STARTING


def test_so_many_engines_are_kept_in_all_until_it_is_changed() -> None:
    world = pool(1, rules(min_replicas=1))
    world.play(slot(0), "s")
    world.tell(ScaleRequested(3))
    world.run(10)
    assert world.listed() == [0, 1, 2]
    world.run(300)
    assert world.listed() == [0, 1, 2]
    world.tell(ScaleRequested(2))
    world.run(300)
    assert len(world.listed()) == 2
    world.leave("s")
    world.tell(ScaleRequested(0))
    world.run(300)
    assert len(world.listed()) == 1


def test_the_free_ones_are_kept_besides() -> None:
    world = pool(2, rules(min_replicas=1))
    world.tell(ScaleRequested(2))
    world.play(slot(0), "a")
    world.play(slot(1), "b")
    world.run(10)
    assert world.listed() == [0, 1, 2]


def test_an_engine_that_is_to_go_is_none_of_them() -> None:
    world = pool(2, STILL)
    world.tell(ScaleRequested(2))
    drain(world, 0)
    stop(world, 1)
    world.run(10)
    assert world.listed() == [2, 3]


def test_they_are_started_by_the_ordinary_rules() -> None:
    world = World(rules(min_replicas=0, max_replicas=3, breaker_threshold=2))
    world.connect()
    world.script.fails = "no image"
    world.tell(ScaleRequested(7))
    world.run(100)
    assert len(world.starts()) == 2  # then the breaker was open
    world.script.fails = ""
    world.tell(BreakerReset())
    world.run(60)
    assert world.listed() == [0, 1, 2]  # then the cap was reached


def test_they_are_kept_after_a_restart() -> None:
    world = pool(1, STILL)
    world.tell(ScaleRequested(3))
    other = again(world)
    other.connect(other.running())
    other.run(10)
    assert other.listed() == [0, 1, 2]


def test_a_drained_engine_is_stopped_when_nothing_on_it_moves() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "s")
    drain(world, 0)
    assert world.listed() == []
    world.run(100)
    assert world.stops() == []
    world.outside[slot(0)].streams["s"] = False
    world.run(30)
    assert [s.reason for s in world.stops()] == ["operator"]
    assert world.state.engines == {}


def test_a_stopped_engine_goes_at_once_and_its_streams_end_with_it() -> None:
    world = pool(2, STILL)
    world.play(slot(0), "s")
    stop(world, 0)
    assert [s.reason for s in world.stops()] == ["operator"]
    world.run(1)
    assert world.state.streams["s"].reason == "engine_stopped:operator"
    assert world.listed() == [1]
    assert "engine_died" not in world.kinds()


def test_asking_twice_is_asking_once() -> None:
    world = pool(2, STILL)
    for _ in range(2):
        drain(world, 0)
        stop(world, 1)
    drain(world, 1)
    assert world.kinds() == ["engine_draining", "engine_stopping"]


@pytest.mark.parametrize("ask", [drain, stop])
def test_a_start_the_operator_ends_is_no_failure_and_its_request_waits_again(
    ask: Callable[[World, int], None],
) -> None:
    world = World(rules(min_replicas=0, startup_grace=60))
    starting(world)
    world.script.ready_after = 0
    ask(world, 0)
    world.run(40)
    assert world.given("r").slot == slot(1)
    assert [s.reason for s in world.stops()] == ["operator"]
    assert slot(0) not in world.state.engines
    assert world.state.breaker == Breaker()
    assert "engine_start_failed" not in world.kinds()


def test_a_stop_that_could_not_be_asked_for_yet_is_after_a_restart() -> None:
    world = pool(1, STILL)
    world.tell(RuntimeLost("bus gone"))
    stop(world, 0)
    assert world.stops() == []
    other = again(world)
    other.connect(other.running())
    assert [s.reason for s in other.stops()] == ["operator"]


def test_or_when_the_runtime_is_back() -> None:
    world = pool(1, STILL)
    world.tell(RuntimeLost("bus gone"))
    stop(world, 0)
    world.tell(RuntimeConnected())
    assert [s.reason for s in world.stops()] == ["operator"]


def test_an_earlier_start_is_not_meant() -> None:
    world = pool(1, STILL)
    world.tell(StopRequested(slot(0), "earlier"))
    world.tell(DrainRequested(slot(0), "earlier"))
    assert world.listed() == [0]


def test_a_stopped_stream_is_over_and_its_engine_free() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "s")
    world.tell(StreamStopped("s", "session-s"))
    assert world.state.streams["s"].reason == "stopped_by_operator"
    assert world.state.is_free(world.engine(0), world.rules)
    world.leave("s", "eof")
    assert world.state.streams["s"].reason == "stopped_by_operator"


def test_the_next_session_of_its_id_is_not_meant() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "s")
    world.tell(started("s", slot(0), session="next"))
    world.tell(StreamStopped("s", "session-s"))
    world.tell(StreamStopped("unknown", "session"))
    assert world.state.streams["s"].ended is None
    assert world.state.early_ends == {}

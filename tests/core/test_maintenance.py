"""A host that is to become empty, and takes viewers again afterwards."""

import math

import pytest

from acekeeper.core.admission import blocked
from acekeeper.core.facts import (
    DrainRequested,
    MaintenanceOver,
    MaintenanceRequested,
    RuntimeConnected,
    RuntimeLost,
)
from acekeeper.core.gateway.facts import SessionRead, StopAsked
from acekeeper.core.gateway.model import NotPlayed
from acekeeper.core.model import Health, Phase

from .gateway.players import Players, players
from .test_restore import again
from .world import World, pool, rules, slot

STILL = rules(min_replicas=0, auto_delete=False)
KEPT = rules(min_replicas=1)


def test_free_engines_stop_and_none_is_started() -> None:
    world = pool(2, rules(min_replicas=2))
    world.tell(MaintenanceRequested())
    assert world.listed() == []
    world.run(29)  # somebody may have chosen one just before
    assert world.stops() == []
    world.run(600)
    assert [stop.reason for stop in world.stops()] == ["maintenance", "maintenance"]
    assert world.state.engines == {}
    assert world.starts() == []


def test_an_engine_stops_when_its_stream_has_ended_however_long_that_takes() -> None:
    world = pool(2, STILL)
    world.play(slot(0), "s")
    world.tell(MaintenanceRequested())
    world.run(7200)
    assert [stop.slot for stop in world.stops()] == [slot(1)]
    world.leave("s")
    world.run(1)
    assert [stop.slot for stop in world.stops()] == [slot(1), slot(0)]
    assert not world.cut


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_stream_that_stands_still_is_waited_for_while_somebody_is_there(
    is_connected: bool,
) -> None:
    world = pool(1, STILL)
    world.play(slot(0), "s", moving=False)
    world.outside[slot(0)].callers = {"viewer"} if is_connected else set()
    world.tell(MaintenanceRequested())
    for _ in range(30):
        world.run(10)
        world.see_connections()
    assert len(world.stops()) == (0 if is_connected else 1)


def test_but_not_on_an_engine_that_is_too_ill_to_tell() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "s")
    world.tell(MaintenanceRequested())
    world.outside[slot(0)].hung = True
    world.survey()
    world.run(60)
    assert [stop.reason for stop in world.stops()] == ["maintenance"]


def test_who_was_promised_an_engine_may_still_begin_and_is_not_cut() -> None:
    world = pool(1, STILL)
    world.request("r")
    world.run(1)
    world.tell(MaintenanceRequested())
    world.run(50)
    world.play(slot(0), "s")
    world.run(600)
    assert world.stops() == []


def test_a_request_is_refused_at_once_with_the_reason_and_no_wait() -> None:
    world = pool(1, KEPT)
    world.tell(MaintenanceRequested())
    world.request("r")
    refusal = world.refused("r")
    assert refusal == blocked(world.state, world.rules, world.now)
    assert (refusal.code, refusal.eta, refusal.should_wait) == ("general_error", None, False)
    assert "maintenance" in refusal.message


def test_one_that_waits_for_a_start_is_refused_then() -> None:
    world = World(STILL)
    world.connect()
    world.script.named_after = 2.0
    world.request("r")
    world.run(1)
    world.tell(MaintenanceRequested())
    world.run(1.1)
    assert "maintenance" in world.refused("r").message
    world.run(60)
    assert world.state.engines == {}


def test_an_engine_that_was_to_go_is_given_to_nobody() -> None:
    world = pool(2, rules(min_replicas=1))
    world.run(20)
    assert [e.drain.reason for e in world.state.engines.values() if e.drain] == ["scale_down"]
    world.tell(MaintenanceRequested())
    world.request("r")
    assert "maintenance" in world.refused("r").message


def test_afterwards_what_still_drains_is_free_at_once_and_the_rest_is_started() -> None:
    world = pool(3, rules(min_replicas=2))
    world.play(slot(0), "s")
    world.tell(MaintenanceRequested())
    world.run(10)
    world.tell(MaintenanceOver())
    assert world.listed() == [0, 1, 2]
    assert blocked(world.state, world.rules, world.now) is None
    world.run(60)
    assert world.stops() == []
    world.tell(MaintenanceRequested())
    world.run(40)
    assert list(world.state.engines) == [slot(0)]
    world.tell(MaintenanceOver())
    world.run(20)
    assert len(world.listed()) == 3
    assert not world.cut


@pytest.mark.parametrize("is_first", [True, False])
def test_an_engine_an_operator_drained_still_goes_afterwards(is_first: bool) -> None:
    world = pool(2, STILL)
    drain = DrainRequested(*world.engine(0).ref)
    facts = (drain, MaintenanceRequested()) if is_first else (MaintenanceRequested(), drain)
    for fact in facts:
        world.tell(fact)
    world.tell(MaintenanceOver())
    assert world.listed() == [1]
    world.run(60)
    assert [stop.slot for stop in world.stops()] == [slot(0)]


def test_an_engine_that_does_not_answer_stays_off_the_list_afterwards() -> None:
    world = pool(1, STILL)
    world.tell(MaintenanceRequested())
    world.outside[slot(0)].hung = True
    world.survey()
    since = world.engine(0).unlisted
    world.tell(MaintenanceOver())
    assert world.engine(0).health is Health.UNKNOWN
    assert world.engine(0).unlisted == since
    assert world.listed() == []


@pytest.mark.parametrize("over", [False, True])
def test_it_survives_a_restart(over: bool) -> None:
    world = pool(2, rules(min_replicas=2))
    world.play(slot(0), "s")
    world.tell(MaintenanceRequested())
    if over:
        world.tell(MaintenanceOver())
    other = again(world)
    other.connect(other.running())
    other.survey()
    other.run(60)
    assert (other.state.maintenance is None) == over
    assert len(other.stops()) == (0 if over else 1)
    assert len(other.starts()) == (1 if over else 0)
    assert not other.cut


def test_and_an_engine_that_was_found_then_is_drained_as_well() -> None:
    world = pool(1, KEPT)
    world.tell(MaintenanceRequested())
    other = World(world.rules)
    other.state.maintenance = world.now
    other.now, other.outside = world.now, world.outside
    other.connect(other.running())
    assert other.engine(0).drain
    other.run(60)
    assert other.state.engines == {}


def test_it_begins_while_the_runtime_cannot_be_asked() -> None:
    world = pool(1, KEPT)
    world.tell(RuntimeLost("bus"))
    world.tell(MaintenanceRequested())
    assert world.listed() == []
    world.run(60)
    assert world.stops() == []
    world.tell(RuntimeConnected())
    world.run(1)
    assert len(world.stops()) == 1


def test_an_engine_that_starts_for_nobody_stops_before_anybody_has_it() -> None:
    world = World(rules(startup_grace=60))
    world.connect()
    world.script.ready_after = math.inf
    world.survey()
    world.run(2)
    assert world.engine(0).phase is Phase.STARTING
    world.tell(MaintenanceRequested())
    world.run(60)
    assert world.state.engines == {}
    assert world.state.breaker.failures == 0


def test_asking_twice_is_asking_once() -> None:
    world = pool(1, KEPT)
    world.tell(MaintenanceRequested())
    since = world.state.maintenance
    world.run(5)
    world.tell(MaintenanceRequested())
    assert world.state.maintenance == since
    world.tell(MaintenanceOver())
    world.tell(MaintenanceOver())
    kinds = [kind for kind in world.kinds() if kind.startswith("maintenance")]
    assert kinds == ["maintenance_began", "maintenance_ended"]


def test_a_player_that_plays_goes_on_and_one_that_begins_is_told_why() -> None:
    world = players(2)
    world.ask("a", 1)
    world.run(1)
    world.picture("a")
    world.tell(MaintenanceRequested())
    world.ask("b", 2, player="192.0.2.2")
    assert world.failed["b"].why is NotPlayed.NO_ENGINE
    assert "maintenance" in world.failed["b"].words
    world.run(600)
    assert not world.cut
    assert world.reasons() == {}
    world.tell(StopAsked(world.served["a"].id))
    world.run(60)
    assert world.state.engines == {}


def test_players_that_wait_are_answered_and_one_whose_engine_opens_gets_its_session() -> None:
    world = players(1)
    world.at(0).opens_after = 2.0
    world.ask("opening", 1)
    world.ask("waiting", 2, player="192.0.2.2")
    world.run(0.5)
    world.tell(MaintenanceRequested())
    assert "maintenance" in world.failed["waiting"].words
    world.run(3)
    assert "opening" in world.served


def test_hls_that_stands_still_and_is_read_by_its_list_is_waited_for() -> None:
    world: Players = players(1)
    world.ask("a", 1, hls=True)
    world.run(1)
    session = world.served["a"].id
    world.tell(MaintenanceRequested())
    for _ in range(30):
        world.outside[slot(0)].streams[session] = False
        world.run(10)
        world.tell(SessionRead(session))
        world.sweep_streams()
    assert world.reasons() == {}
    assert world.stops() == []


def test_no_other_engine_is_asked_for_a_player_whose_engine_is_late() -> None:
    world = players(3, min_replicas=1, auto_delete=True)
    world.run(20)
    assert any(engine.drain for engine in world.state.engines.values())
    for n in range(3):
        world.at(n).opens_after = math.inf
    world.ask("a", 1)
    world.run(1)
    asked = len(world.opened())
    world.tell(MaintenanceRequested())
    world.run(20)
    assert len(world.opened()) == asked


def test_another_player_does_not_join_an_hls_session() -> None:
    world: Players = players(1)
    world.ask("a", 1, hls=True)
    world.run(1)
    world.tell(MaintenanceRequested())
    world.ask("b", 1, hls=True, player="192.0.2.2")
    assert "maintenance" in world.failed["b"].words

import math

import pytest
from msgspec.structs import replace

from acekeeper.core.actions import Stop
from acekeeper.core.apply import apply
from acekeeper.core.facts import (
    EnginesListed,
    EnginesSurveyed,
    Found,
    RuntimeConnected,
    RuntimeLost,
    TimePassed,
)
from acekeeper.core.model import (
    Breaker,
    Draining,
    EarlyEnd,
    Engine,
    Health,
    Now,
    Probe,
    Stopping,
)
from acekeeper.core.restore import restore
from acekeeper.core.state import State

from .world import HOST, MONO, WALL, World, pool, rules, slot, started

STILL = rules(min_replicas=0, auto_delete=False)


def again(world: World, **changed: Engine) -> World:
    """The world after a restart of ours: what was in memory is what was stored."""
    state = restore(
        world.rules,
        world.now,
        engines=[changed.get(f"e{e.slot.port - 19000}", e) for e in world.state.engines.values()],
        streams=world.state.streams.values(),
        early_ends=world.state.early_ends.items(),
        breaker=world.state.breaker,
        boot=world.state.boot,
        at_least=world.state.at_least,
        maintenance=world.state.maintenance,
    )
    return resumed(world, state)


def resumed(world: World, state: State) -> World:
    other = World(world.rules, state=state)
    other.now = world.now
    other.outside = world.outside
    return other


def test_after_a_reboot_what_ran_before_is_gone_at_once_and_nothing_is_to_blame() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(7)  # it has just become ready
    world.play(slot(0))
    world.request("starting")
    world.run(1)
    world.tell(started("elsewhere"))
    engines, streams = world.state.engines.values(), world.state.streams.values()
    state = restore(STILL, world.now, engines, streams, boot="boot-1", current_boot="boot-2")
    other = resumed(world, state)
    assert other.state.engines == {}
    assert other.state.playing == {}
    assert other.state.streams["s"].reason == "engine_died:host_rebooted"
    assert list(other.state.elsewhere) == ["elsewhere"]
    other.tell(TimePassed())
    assert other.kinds().count("engine_died") == 2
    other.connect(boot="boot-2")
    assert other.kinds().count("engine_died") == 2
    assert other.state.breaker == Breaker()
    assert other.state.boot == "boot-2"


def test_a_reboot_is_stored_with_the_first_fact() -> None:
    world = pool(2, STILL)
    world.play(slot(0))
    engines, streams = world.state.engines.values(), world.state.streams.values()
    state = restore(STILL, world.now, engines, streams, boot="boot-1", current_boot="boot-2")
    changes = apply(state, STILL, TimePassed(), world.now)
    assert changes.engines == {slot(0): None, slot(1): None}
    assert changes.streams.keys() == {"s"}
    assert changes.boot == "boot-2"


@pytest.mark.parametrize(("boot", "current"), [("", "boot"), ("boot", "boot"), ("boot", "")])
def test_without_a_reboot_nothing_is_gone(boot: str, current: str) -> None:
    world = pool(2, STILL)
    state = restore(STILL, world.now, world.state.engines.values(), boot=boot, current_boot=current)
    assert state.engines == world.state.engines
    assert not state.changes


def test_the_same_engines_are_listed_before_and_after_the_listing() -> None:
    world = pool(3, STILL)
    world.play(slot(1))
    world.outside[slot(2)].hung = True
    world.survey()
    other = again(world)
    assert other.listed() == world.listed() == [0, 1]
    assert not other.state.changes
    other.tell(RuntimeConnected())
    other.list_engines(other.running())
    assert other.listed() == [0, 1]
    assert other.state.playing == world.state.playing
    assert other.state.revision


def test_a_stored_start_without_a_name_is_found_again_by_its_name() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    other = again(world)
    assert other.state.engines == {}
    other.connect([Found(slot(0), "start-1", "id")])
    other.request("next")
    assert other.waiting()[0].slot == slot(0)


def test_an_answer_never_given_claims_nothing() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(1)
    assert again(world).engine(0).claim is None


def test_a_claim_that_was_given_goes_on_by_wall_clock() -> None:
    world = pool(1, STILL)
    world.request("r")
    other = again(world)
    other.connect(other.running())
    other.run(59)
    assert other.engine(0).claim is not None
    other.run(2)
    assert other.engine(0).claim is None


def test_a_drain_goes_on() -> None:
    world = pool(1, STILL)
    drained = replace(world.engine(0), drain=Draining("asked", world.now), unlisted=world.now)
    other = again(world, e0=drained)
    other.connect(other.running())
    other.run(30.1)
    assert [s.reason for s in other.stops()] == ["asked"]


def test_a_stop_is_asked_for_again() -> None:
    world = pool(1, STILL)
    stopping = replace(world.engine(0), stop=Stopping("asked"))
    other = again(world, e0=stopping)
    other.connect(other.running())
    assert other.taken == [Stop(*stopping.ref, "asked")]


def test_a_probe_under_way_is_asked_again() -> None:
    world = World(STILL)
    world.script.ready_after = 4
    world.connect()
    world.request("r")
    world.run(4)
    asking = replace(world.engine(0), probe=Probe(under_way=True))
    other = again(world, e0=asking)
    other.connect(other.running())
    other.run(1)
    assert other.listed() == [0]


def test_what_an_event_told_of_its_engine_outlives_us_until_that_is_found() -> None:
    world = World(STILL)
    proxy = ("proxy.example", 6878)
    world.tell(started("by address", addresses=(proxy, (HOST, 19001))))
    world.tell(started("by id", addresses=(proxy,), container_id="id-1"))
    other = again(world)
    other.connect([Found(slot(1), "found-1", "id-1")])
    assert list(other.state.playing[slot(1)]) == ["by address", "by id"]


def test_streams_of_another_start_are_ended() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    world.outside[slot(0)].incarnation = "other"
    other = again(world)
    other.connect(other.running())
    assert other.state.streams["s"].ended == other.now
    assert other.state.playing == {}


def test_streams_whose_engine_nobody_knows_are_ended() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    del world.state.engines[slot(0)]
    world.outside.clear()
    other = again(world)
    other.connect()
    assert other.state.streams["s"].ended == other.now


@pytest.mark.parametrize("seconds", [3, 8])
def test_what_ended_while_we_were_away_is_no_failed_start(seconds: float) -> None:
    """Neither one that was starting nor one that had just become ready."""
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(seconds)
    other = again(world)
    other.outside.clear()
    other.connect()
    [died] = [h for h in other.happened if h.kind == "engine_died"]
    assert (died.data["cause"], died.data["early"]) == ("vanished", False)
    assert other.state.breaker == Breaker()


def test_what_an_operator_stopped_meanwhile_is_told_as_that() -> None:
    world = pool(2, STILL)
    world.play(slot(0), "on the stopped")
    world.play(slot(1), "on the other")
    other = again(world)
    other.tell(RuntimeConnected())
    stopped = frozenset({world.engine(0).incarnation, "of a stop long ago"})
    other.tell(EnginesListed(HOST, "boot-1", other.now, (), stopped))
    assert {name: s.reason for name, s in other.state.streams.items()} == {
        "on the stopped": "engine_stopped:stopped",
        "on the other": "engine_died:vanished",
    }


def test_what_ended_while_the_bus_was_gone_is_no_failed_start() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(8)
    world.tell(RuntimeLost("bus"))
    world.outside.clear()
    world.run(1)
    world.connect()
    assert world.state.engines == {}
    assert world.state.breaker == Breaker()


def test_a_start_that_became_ready_while_we_were_away_is_not_called_late() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(3)
    other = again(world)
    other.now = other.now.after(100)
    other.connect(other.running())
    other.run(1)
    assert other.listed() == [0]
    assert other.stops() == []


def test_nor_one_that_became_ready_while_the_runtime_was_lost() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(3)
    world.tell(RuntimeLost("bus"))
    world.run(100)
    world.tell(RuntimeConnected())
    world.run(1)
    assert world.listed() == [0]


def test_an_engine_that_outlives_its_first_seconds_after_the_restart_ends_the_row() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(8)
    world.state.put_breaker(Breaker(2))
    other = again(world)
    other.connect(other.running())
    other.run(10)
    assert other.state.breaker.failures == 0


def test_early_ends_are_remembered() -> None:
    now = Now(WALL, MONO)
    state = restore(STILL, now, early_ends=[("s", EarlyEnd(now, "eof"))])
    world = World(STILL, state=state)
    world.play(slot(0))
    assert world.state.streams["s"].ended is not None


def test_a_stored_engine_is_not_scaled_away_before_the_survey() -> None:
    world = pool(3, STILL)
    other = again(world)
    other.rules = rules(engine_grace_period=1)
    other.tell(RuntimeConnected())
    other.list_engines(other.running())
    other.run(100)
    assert other.taken == []
    other.tell(EnginesSurveyed(()))
    assert other.taken != []


def test_nothing_stored_is_an_empty_state() -> None:
    assert restore(STILL, Now(WALL, MONO)) == State()


def test_a_suspect_stays_one() -> None:
    world = pool(1, STILL)
    suspect = replace(world.engine(0), health=Health.UNKNOWN, unlisted=world.now)
    other = again(world, e0=suspect)
    other.outside[slot(0)].answers_from = math.inf
    other.connect(other.running())
    other.run(30)
    assert other.engine(0).health is Health.UNHEALTHY


def test_a_moment_on_disk_is_never_in_the_future() -> None:
    now = Now(WALL, MONO)
    assert now.of_wall(WALL - 5) == Now(WALL - 5, MONO - 5)
    assert now.of_wall(WALL + 5) == Now(WALL + 5, MONO)

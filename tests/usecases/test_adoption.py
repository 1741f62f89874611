"""Whenever the runtime can be reached: list, then ask the engines, then about the streams."""

import asyncio
from typing import Any

from acekeeper.core.facts import EngineDied, RuntimeConnected, RuntimeLost
from acekeeper.usecases.adoption import Adoption
from acekeeper.usecases.sweep import Kind

from ..core.world import slot, started
from .conftest import MakeHouse
from .house import House


async def test_what_runs_is_taken_over_before_anything_is_started(make_house: MakeHouse) -> None:
    house = make_house(min_replicas=2)
    house.runtime.add(3, 4)
    await house.adoption.open()
    await house.adoption.listed.wait()
    await house.until(lambda: house.listed() == [3, 4])
    await house.until(lambda: house.loop.state.surveyed)
    await house.turns()
    assert house.runtime.calls == ["list"]


async def test_nothing_is_started_while_the_first_engine_still_thinks(
    make_house: MakeHouse,
) -> None:
    house = make_house(min_replicas=1)
    house.runtime.add(3)
    house.engines.go_on.clear()
    await house.adoption.open()
    await house.until(lambda: house.engines.asked)
    assert house.adoption.listed.is_set()  # who serves need not wait for an engine
    await house.turns()
    assert house.runtime.calls == ["list"]
    assert not house.loop.state.surveyed


async def test_engines_are_asked_when_readers_are_served(house: House) -> None:
    await house.open(0)
    serving = asyncio.Event()
    adoption = Adoption(house.loop, house.sweeps, serving)
    await adoption.open()
    await adoption.listed.wait()
    await house.turns()
    assert house.engines.asked == []
    serving.set()
    await house.until(lambda: house.engines.asked == ["status 19000"])


async def test_when_it_is_back_it_is_listed_and_engines_and_streams_are_asked(
    house: House,
) -> None:
    await house.open(0, 1)
    house.loop.tell(started("s", slot(1)))
    house.runtime.tell(RuntimeLost("the bus is gone"))
    house.clock.ahead += 2.1
    del house.runtime.running[slot(0)]
    house.runtime.tell(RuntimeConnected())
    await house.until(lambda: house.loop.state.streams["s"].ended)
    assert house.runtime.calls == ["list"]
    assert house.engines.asked == ["status 19001", "stat s"]
    assert house.listed() == [1]
    assert house.loop.state.streams["s"].reason == "unknown_to_engine"


async def test_who_cannot_be_listed_at_the_start_is_found_by_a_sweep(
    make_house: MakeHouse, logged: list[Any]
) -> None:
    house = make_house(min_replicas=1)
    house.runtime.add(0)
    house.runtime.unreachable = True
    await house.adoption.open()
    await house.until(lambda: logged)
    assert logged[-1]["message"] == "engines_not_listed"
    assert logged[-1]["extra"]["why"] == "the bus is gone"
    assert not house.adoption.listed.is_set()
    await house.sweeps.run(Kind.HEALTH)  # asks nobody, and proves nothing
    assert not house.loop.state.surveyed
    await house.turns()
    assert house.runtime.calls == ["list"]
    house.runtime.unreachable = False
    await house.sweeps.run(Kind.SCALE)
    await house.until(lambda: house.listed() == [0])
    await house.sweeps.run(Kind.HEALTH)
    await house.turns()
    assert house.runtime.calls == ["list", "list"]


async def test_a_death_the_runtime_tells_of_takes_effect_at_once(house: House) -> None:
    await house.open(0, 1)
    house.runtime.tell(EngineDied(*house.loop.state.engines[slot(0)].ref, "killed"))
    assert house.listed() == [1]


async def test_a_connection_that_comes_and_goes_is_taken_as_it_comes(house: House) -> None:
    await house.open(0)
    for _ in range(5):
        house.runtime.tell(RuntimeLost("flaps"))
        house.runtime.tell(RuntimeConnected())
    await house.until(lambda: house.runtime.calls.count("list") == 5)
    await asyncio.gather(*(house.sweeps.run(kind) for kind in Kind))
    assert house.listed() == [0]
    assert house.loop.state.connected

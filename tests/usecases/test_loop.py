"""The loop: facts in, one plan a turn, and what the plan wants done."""

import asyncio
import gc
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from acekeeper.core.actions import Refusal
from acekeeper.core.facts import (
    AnswerDelivered,
    AnswerLost,
    EngineDied,
    Fact,
    ProvisionRequested,
    RuntimeLost,
    StopRequested,
    StreamsAsked,
    TimePassed,
)
from acekeeper.core.model import CLAIM_LASTS, Engine, Health, Phase
from acekeeper.core.plan import Plan
from acekeeper.core.state import State
from acekeeper.errors import EngineFailed, PortTaken, RuntimeUnavailable, StartTimedOut
from acekeeper.log import request_id_var
from acekeeper.usecases import loop, outcomes
from acekeeper.usecases.requests import provision
from acekeeper.usecases.sweep import Kind

from ..adapters.storing import next_run
from ..core.world import sample, slot, started
from .conftest import MakeHouse
from .house import HeldStore, House


def ask_for_engine(house: House, name: str = "r", port: int | None = None) -> asyncio.Task[Any]:
    return asyncio.create_task(provision(house.loop, name, port, {}))


async def test_facts_told_in_one_turn_are_planned_once(house: House) -> None:
    await house.open()
    house.loop.tell(ProvisionRequested("here and"))
    house.loop.tell(AnswerLost("here and"))
    await house.turns()
    assert house.runtime.calls == []  # planned in between, an engine would have been started
    house.loop.tell(ProvisionRequested("here to stay"))
    await house.turns()
    assert house.runtime.calls == ["start 19000"]


async def test_what_engines_say_of_streams_that_go_on_asks_for_no_plan(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open(0)
    house.loop.tell(started("s", slot(0)))
    await house.turns()
    stream = house.loop.state.streams["s"].ref
    planned: list[State] = []

    def plan(state: State, *_: object) -> Plan:
        planned.append(state)
        return Plan((), math.inf)

    monkeypatch.setattr(loop, "plan", plan)
    ref = house.loop.state.engines[slot(0)].ref
    house.loop.tell(StreamsAsked(*ref, {stream: sample(house.clock(), 200)}))
    await house.turns()
    assert planned == []
    house.loop.tell(StreamsAsked(*ref, unknown=frozenset({stream})))  # the engine is free now
    await house.turns()
    assert planned


async def test_claims_that_lapse_together_are_all_over_soon(make_house: MakeHouse) -> None:
    house = make_house(max_replicas=500)
    state, now = house.loop.state, house.clock()
    for n in range(250):
        held = Engine(slot=slot(n), created=now, incarnation=f"s{n}", ready=now, claim=f"r{n}")
        state.put(replace(held, handed=now.after(-CLAIM_LASTS)))
    house.loop.tell(TimePassed())
    assert any(engine.claim for engine in state.engines.values())
    await house.until(lambda: not any(engine.claim for engine in state.engines.values()))


async def test_what_is_planned_is_not_of_the_request_that_spoke_last(house: House) -> None:
    await house.open()
    ids = []
    house.engines.before_answer = lambda: ids.append(request_id_var.get())
    token = request_id_var.set("who-spoke-last")
    house.loop.tell(ProvisionRequested("r"))
    request_id_var.reset(token)
    await house.until(lambda: ids)
    assert set(ids) == {None}


async def test_a_request_gets_an_engine_that_answers(house: House) -> None:
    await house.open()
    house.engines.silent = {0}
    request = ask_for_engine(house)
    await house.until(lambda: house.engines.asked.count("status 19000") >= 2)
    assert not request.done()
    assert house.listed() == []
    house.engines.silent = set()
    engine = await request
    assert isinstance(engine, Engine)
    # Until then its silence was none: only these probes were said to be of a start.
    assert house.engines.starting == [19000] * house.engines.asked.count("status 19000")
    await house.sweeps.run(Kind.HEALTH)
    assert len(house.engines.starting) == len(house.engines.asked) - 1
    assert (engine.slot, engine.container_id, engine.health) == (
        slot(0),
        "id-start-1",
        Health.HEALTHY,
    )
    house.loop.tell(AnswerDelivered("r"))
    assert house.loop.state.requests == {}


async def test_a_refusal_reaches_who_asked(make_house: MakeHouse) -> None:
    house = make_house(max_replicas=1)
    await house.open(0)
    assert isinstance(await ask_for_engine(house, "first"), Engine)
    refusal = await ask_for_engine(house, "second")
    assert isinstance(refusal, Refusal)
    assert refusal.code == "max_capacity"
    assert "second" not in house.loop.state.requests


async def test_who_leaves_before_the_answer_leaves_the_engine_to_the_next(house: House) -> None:
    await house.open()
    house.engines.silent = {0}
    request = ask_for_engine(house)
    await house.until(lambda: house.engines.asked)
    request.cancel()
    await asyncio.wait({request})
    assert request.cancelled()
    assert [e.claim for e in house.loop.state.engines.values()] == [None]
    house.engines.silent = set()
    engine = await ask_for_engine(house, "next")
    assert isinstance(engine, Engine)
    assert house.runtime.calls == ["start 19000"]


async def test_a_claim_is_on_disk_before_its_answer(house: House, db: Path) -> None:
    await house.open(0)
    engine = await ask_for_engine(house)
    [saved] = (await next_run(db, house.clock())).engines
    assert saved.claim == "r"
    assert saved.ref == engine.ref


async def test_an_answer_waits_for_the_disk_but_not_for_long(make_house: MakeHouse) -> None:
    store = HeldStore()
    house = make_house(store)
    await house.open(0)
    first = ask_for_engine(house)
    await house.turns()
    granted = [h.data["request"] for h in house.happened if h.kind == "engine_granted"]
    assert granted == ["r"]
    assert not first.done()
    assert [c.engines for c, _ in store.writes if slot(0) in c.engines]
    store.release()
    await house.turns()
    assert first.done()
    house.loop.tell(EngineDied(*house.loop.state.engines[slot(0)].ref, "killed"))
    second = ask_for_engine(house, "second")
    engine = await asyncio.wait_for(second, 30)  # nobody releases this one
    assert isinstance(engine, Engine)
    assert not store.writes[-1][1].done()


@pytest.mark.parametrize("lost_to", ["death", "stop", "viewer"])
async def test_an_engine_lost_while_its_claim_waits_for_the_disk_is_given_to_nobody(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, lost_to: str
) -> None:
    monkeypatch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
    store = HeldStore()
    house = make_house(store)
    await house.open(0)
    outcome = ask_for_engine(house)
    await house.until(lambda: "engine_granted" in house.kinds())
    ref = house.loop.state.engines[slot(0)].ref
    facts: dict[str, Fact] = {
        "death": EngineDied(*ref, "killed"),
        "stop": StopRequested(*ref),
        "viewer": started("s", slot(0)),
    }
    house.loop.tell(facts[lost_to])
    store.release()
    refusal = await asyncio.wait_for(outcome, 30)
    assert isinstance(refusal, Refusal)
    assert refusal.should_wait
    assert house.loop.state.requests == {}
    assert house.kinds().count("provision_refused") == 1


async def test_and_nobody_is_refused_who_has_left(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
    store = HeldStore()
    house = make_house(store)
    await house.open(0)
    ask_for_engine(house)
    await house.until(lambda: "engine_granted" in house.kinds())
    house.loop.tell(AnswerLost("r"))
    store.release()
    await house.turns()
    assert "provision_refused" not in house.kinds()
    assert house.loop.state.engines[slot(0)].claim is None


@pytest.mark.parametrize(
    ("error", "excused", "cause"),
    [
        (PortTaken("somebody else has it"), True, "port_taken"),
        (RuntimeUnavailable("the bus is gone"), True, "runtime_unavailable"),
        (EngineFailed("it exits at once"), False, "other"),
        (EngineFailed("Podman has no such image", cause="image"), False, "image"),
        (StartTimedOut("not within the 120 s"), False, "runtime_timeout"),
    ],
)
async def test_a_start_that_fails_frees_its_slot(
    make_house: MakeHouse, error: Exception, excused: bool, cause: str
) -> None:
    house = make_house(breaker_threshold=1)
    await house.open()
    house.runtime.starting_fails = error
    request = ask_for_engine(house, port=19005)
    refusal = await request
    assert isinstance(refusal, Refusal)
    assert house.loop.state.engines == {}
    [failed] = [h for h in house.happened if h.kind == "engine_start_failed"]
    assert (failed.data["why"], failed.data["excused"]) == (str(error), excused)
    assert failed.data["cause"] == cause
    assert (house.loop.state.breaker.opened is None) is excused


async def test_a_defect_in_starting_is_logged_and_frees_the_slot(
    house: House, logged: list[Any]
) -> None:
    await house.open()
    house.runtime.starting_fails = OSError("too many open files")
    assert isinstance(await ask_for_engine(house, port=19000), Refusal)
    assert house.loop.state.engines == {}
    await house.until(lambda: logged)
    assert "too many open files" in str(logged[-1]["exception"].value)


async def test_a_task_that_raises_is_logged(house: House, logged: list[Any]) -> None:
    async def defect() -> None:
        raise ZeroDivisionError

    house.loop.spawn(defect())
    await house.until(lambda: logged)
    assert logged[-1]["level"].name == "ERROR"
    assert logged[-1]["exception"].type is ZeroDivisionError


@pytest.mark.parametrize("error", [EngineFailed("it cannot be signalled"), OSError("no more fds")])
async def test_a_stop_that_fails_is_asked_for_again(
    make_house: MakeHouse, error: Exception
) -> None:
    house = make_house(auto_delete=True, engine_grace_period=0, drain_wait=0, stop_retry=0.05)
    house.runtime.stopping_fails = error
    house.runtime.add(0)
    await house.adoption.open()
    await house.until(lambda: house.runtime.calls.count("stop 19000") >= 3)
    assert "engine_stop_failed" in house.kinds()
    assert house.loop.state.engines[slot(0)].phase is Phase.STOPPING


async def test_a_draining_engine_is_looked_at_before_it_is_stopped(
    make_house: MakeHouse,
) -> None:
    house = make_house(auto_delete=True, engine_grace_period=0.05, drain_wait=0.1)
    house.runtime.add(0)
    await house.adoption.open()
    while "engine_draining" not in house.kinds():
        await asyncio.sleep(0)  # not a moment later, for soon it would be stopped
    await house.loop.tell(started("s", slot(0)))  # who had chosen it before
    house.engines.sessions["s"] = RuntimeError("a defect")
    house.clock.ahead += 3  # it is old enough for its engine to know it
    await house.until(lambda: house.engines.asked.count("stat s") == 1)
    assert "stop 19000" not in house.runtime.calls
    await house.turns()
    # A look that went wrong is over too, or the engine would drain for ever.
    assert (going := house.loop.state.engines[slot(0)].drain)
    assert not going.looking
    del house.engines.sessions["s"]
    house.clock.ahead += 11
    await house.sweeps.run(Kind.STREAMS)
    await house.until(lambda: "stop 19000" in house.runtime.calls)


async def test_what_is_overdue_shows(house: House) -> None:
    await house.open()
    assert not house.loop.is_overdue(0)  # nothing is due
    house.engines.silent = {0}
    house.loop.tell(ProvisionRequested("r"))
    await house.until(lambda: house.engines.asked)
    await house.until(lambda: house.loop.is_overdue(-0.25))  # due within a quarter second
    assert not house.loop.is_overdue(5)
    loop = asyncio.get_running_loop()
    now = loop.time()
    while loop.time() < now + 0.3:
        pass  # the event loop stands still
    assert house.loop.is_overdue(0)
    assert not house.loop.is_overdue(5)


async def test_plans_that_fail_show_as_overdue(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open()
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    house.loop.tell(ProvisionRequested("r"))
    await asyncio.sleep(0)
    assert house.kinds()[-1] == "engine_starting"  # and the next plan is due at once

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("acekeeper.usecases.loop.plan", fails)
    await house.until(lambda: failed and house.loop.is_overdue(0))


async def test_after_the_close_nothing_is_started(make_house: MakeHouse) -> None:
    house = make_house(min_replicas=2)
    await house.open(0, 1)
    house.loop.tell(EngineDied(*house.loop.state.engines[slot(0)].ref, "killed"))
    await house.loop.close()
    house.loop.tell(EngineDied(*house.loop.state.engines[slot(1)].ref, "killed"))
    house.loop.tell(RuntimeLost("closing"))
    await house.turns()
    assert house.runtime.calls == []


async def test_what_was_about_to_be_planned_at_the_close_is_not(house: House) -> None:
    await house.open()
    house.loop.tell(ProvisionRequested("late"))
    await house.loop.close()
    await house.turns()
    assert house.runtime.calls == []


async def test_an_outcome_is_kept_no_longer_than_somebody_waits(house: House) -> None:
    outcome = house.loop.outcomes.wait("r")
    outcome.cancel()
    await house.turns()
    left = weakref.ref(outcome)
    del outcome
    gc.collect()
    assert left() is None


async def test_what_is_under_way_at_the_close_is_ended(house: House) -> None:
    ended = asyncio.Event()

    async def works() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    house.loop.spawn(works())
    await house.turns()
    await house.loop.close()
    assert ended.is_set()

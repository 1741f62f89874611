"""Events: done means on disk, and what is not on disk is said."""

import asyncio
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

from acekeeper.adapters.store import Store
from acekeeper.core.facts import ProvisionRequested, StreamEnded, StreamStarted, TimePassed
from acekeeper.core.model import Now
from acekeeper.core.plan import Plan, plan
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.errors import StoreFailed
from acekeeper.usecases import events, loop

from ..adapters.storing import Disk, Troubles, next_run, select
from ..core.world import slot, started
from .conftest import MakeHouse
from .house import Clock, HeldStore, House

READ_ONLY = "PRAGMA query_only = 1"


async def test_it_is_done_when_it_is_on_disk(make_house: MakeHouse) -> None:
    store = HeldStore()
    house = make_house(store)
    start = house.loop.tell(started("s"))
    assert "s" in house.loop.state.streams  # who reads does not wait for the disk
    assert not start.done()
    store.release()
    await start


async def _told(house: House, fact: StreamStarted | StreamEnded) -> str | None:
    durable, stream_id = events.tell(house.loop, fact)
    await durable
    return stream_id


async def test_an_acknowledged_start_and_end_are_there_in_the_next_run(
    house: House, db: Path
) -> None:
    await house.open(0)
    for name in ("plays", "ended"):
        assert await _told(house, started(name, slot(0))) == name
    assert await _told(house, StreamEnded("ended", reason="eof")) == "ended"
    assert await _told(house, StreamEnded("not yet")) is None
    # Another connection, as after a kill: the writer still has its own open.
    rows = select(db, "SELECT id, ended IS NULL, reason FROM streams ORDER BY id")
    assert rows == [("ended", 0, "eof"), ("plays", 1, "")]
    saved = await next_run(db, house.clock())
    assert [name for name, _ in saved.early_ends] == ["not yet"]


@pytest.fixture
async def failing(make_house: MakeHouse, db: Path) -> Any:
    """A house on a disk that takes no more writes, and how to heal it."""
    disk, troubles = Disk(), Troubles()
    store = Store(db, 7, on_trouble=troubles, connect=disk)
    store.load(Clock()())
    house = make_house(store)
    await house.loop.tell(started("before"))
    disk.fail(READ_ONLY)
    yield house, disk, troubles
    disk.heal()
    await store.close()


async def test_what_is_not_on_disk_is_refused_but_kept(failing: Any, db: Path) -> None:
    house, disk, troubles = failing
    with pytest.raises(StoreFailed):
        await _told(house, started("s"))
    with pytest.raises(StoreFailed):
        await _told(house, StreamEnded("before"))
    assert house.loop.state.streams["s"].ended is None
    assert house.loop.state.streams["before"].ended is not None
    assert house.store.degraded
    disk.heal()
    await troubles.over()
    assert select(db, "SELECT id FROM streams WHERE ended IS NULL") == [("s",)]


async def test_every_event_of_a_batch_on_a_failing_disk_says_so(failing: Any) -> None:
    house, *_ = failing
    told: list[events.Event | str] = [
        started("a"),
        started("b"),
        StreamEnded("a"),
        StreamEnded("absent"),
        "no event",
    ]
    *results, malformed = await events.batch(house.loop, iter(told))
    assert [r.stream_id for r in results] == ["a", "b", "a", None]
    assert all("read-only" in r.error for r in results)
    assert not any(r.kept for r in results)
    assert malformed == events.Result(None, "no event")


async def test_a_batch_ends_what_it_started_and_misses_what_is_not_there(house: House) -> None:
    starts = [started("a"), started("b")]
    ends = [StreamEnded("a"), StreamEnded("absent"), StreamEnded("")]
    results = await events.batch(house.loop, iter([*starts, *ends]))
    missed = events.Result(None, "stream not found")
    assert results == [*map(events.Result, "aba"), missed, missed]
    assert [s.id for s in house.loop.state.streams.values() if s.ended is None] == ["b"]


async def test_a_long_batch_lets_others_have_their_turns(house: House) -> None:
    seen = [0]

    async def read() -> None:
        while True:
            seen.append(len(house.loop.state.streams))
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    await events.batch(house.loop, (started(f"s{n}") for n in range(800)))
    reader.cancel()
    assert seen[-1] == 800
    assert max(after - before for before, after in pairwise(seen)) <= 200


async def test_of_a_long_batch_only_so_much_waits_for_the_disk(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_UNDER_WAY", 3)
    store = HeldStore()
    house = make_house(store)
    starts = [started(f"s{n}") for n in range(800)]
    read: list[events.Event] = []

    def told() -> Iterator[events.Event]:
        for event in chain[events.Event](starts, [StreamEnded("s0")]):
            read.append(event)
            yield event

    batch = asyncio.create_task(events.batch(house.loop, told()))
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(store.writes) == 3
    assert len(read) <= 2000  # the next ones are read when there is room for them
    while not batch.done():
        store.release()
        await asyncio.sleep(0)
    *results, end = batch.result()
    assert results == [events.Result(fact.id) for fact in starts]
    assert end == events.Result("s0")


async def test_events_of_a_batch_are_written_by_slices(make_house: MakeHouse) -> None:
    store = HeldStore()
    house = make_house(store)
    starts = [started(f"s{n}") for n in range(800)]
    batch = asyncio.create_task(events.batch(house.loop, iter(starts)))
    while not batch.done():
        store.release()
        await asyncio.sleep(0)
    assert [len(changes.streams) for changes, _ in store.writes] == [200] * 4


async def test_what_was_applied_is_written_also_when_a_later_fact_is_a_defect(
    make_house: MakeHouse,
) -> None:
    store = HeldStore()
    house = make_house(store)
    with pytest.raises(AssertionError):
        house.loop.tell_all([started("s"), "no fact", started("t")])  # type: ignore[list-item]
    assert [list(changes.streams) for changes, _ in store.writes] == [["s"]]


async def test_events_turn_by_turn_share_a_plan(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is in haste does not wait for theirs."""
    await house.open(0)
    monkeypatch.setattr(loop, "_RESTS", 3600)
    planned: list[Plan] = []

    def counting(state: State, rules: Rules, now: Now) -> Plan:
        planned.append(plan(state, rules, now))
        return planned[-1]

    monkeypatch.setattr(loop, "plan", counting)
    for n in range(3):
        house.loop.tell(started(f"s{n}", slot(0)))
        await house.turns()
    assert not planned
    house.loop.tell(TimePassed())
    await house.turns()
    assert len(planned) == 1


async def test_what_ended_and_is_forgotten_with_one_write_is_kept_as_ended(
    make_house: MakeHouse, db: Path
) -> None:
    house = make_house(keep_ended=0)
    await house.loop.tell_all([started("s"), StreamEnded("s", reason="eof"), TimePassed()])
    assert "s" not in house.loop.state.streams
    assert select(db, "SELECT ended IS NULL, reason FROM streams") == [(0, "eof")]


async def test_events_do_not_put_off_what_is_due(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_RESTS", 3600)
    await house.open()
    house.engines.silent = {0}
    house.loop.tell(ProvisionRequested("r"))
    await house.until(lambda: house.engines.asked)
    asked = len(house.engines.asked)
    await house.loop.tell(started("s"))
    await house.until(lambda: len(house.engines.asked) > asked + 1)

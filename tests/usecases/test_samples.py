"""Samples between their telling and the disk."""

import asyncio
import gc
from asyncio import Future
from typing import Any

import pytest

from acekeeper.core.facts import StreamsAsked
from acekeeper.core.model import Sample
from acekeeper.errors import StoreFailed
from acekeeper.usecases import samples
from acekeeper.usecases.samples import Unsaved
from acekeeper.usecases.samples import samples as told

from ..core.world import sample, slot, started
from .conftest import MakeHouse
from .house import HeldStore


def written() -> Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_they_are_kept_until_they_or_later_ones_are_on_disk(make_house: MakeHouse) -> None:
    unsaved = Unsaved()
    now = make_house(HeldStore()).clock()
    said = [sample(now.after(n), n) for n in range(4)]
    writes = [written() for _ in said]
    for one, write in zip(said, writes, strict=True):
        unsaved.told([("a", one), ("b", one)], write)
    writes[0].set_exception(StoreFailed("full"))
    writes[1].cancel()
    await asyncio.sleep(0)
    assert unsaved.of("a") == said
    writes[2].set_result(None)
    await asyncio.sleep(0)
    assert unsaved.of("a") == unsaved.of("b") == said[3:]
    writes[3].set_result(None)
    await asyncio.sleep(0)
    assert unsaved.of("a") == []


async def test_where_the_disk_takes_none_the_oldest_go(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "_MOST_UNSAVED", 10)
    unsaved = Unsaved()
    now = make_house(HeldStore()).clock()
    said = [sample(now.after(n), n) for n in range(50)]
    writes = [written() for _ in said]
    for one, write in zip(said, writes, strict=True):
        unsaved.told([("a", one)], write)
    assert unsaved.of("a") == said[-10:]
    writes[-2].set_result(None)
    await asyncio.sleep(0)
    assert unsaved.of("a") == said[-1:]


class NotYet:
    """A disk that has heard nothing of a stream."""

    async def samples(self, stream_id: str, since: float, limit: int) -> None:
        pass


async def test_those_of_an_earlier_session_are_not_told_of_the_next(make_house: MakeHouse) -> None:
    house = make_house(HeldStore())
    history: Any = NotYet()
    loop = house.loop
    at = house.clock()
    loop.unsaved.told([("s", sample(at.after(-1)))], written())
    assert await told(loop.state, loop.rules, loop.unsaved, history, "s", None) is None
    loop.tell(started("s"))
    assert await told(loop.state, loop.rules, loop.unsaved, history, "s", None) == []
    young = sample(at.after(1))
    loop.unsaved.told([("s", young)], written())
    for since in (None, at.wall - 5):
        assert await told(loop.state, loop.rules, loop.unsaved, history, "s", since) == [young]
    assert await told(loop.state, loop.rules, loop.unsaved, history, "s", at.wall + 5) == []


def samples_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, Sample) for thing in gc.get_objects())


async def test_memory_stays_flat_while_a_stream_is_looked_at_for_hours(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is only in the log is kept in memory too; so the log goes into the database often.
    monkeypatch.setattr("acekeeper.adapters.opened.LOG_AT_REST", 32 << 10)
    house = make_house()
    await house.open(0)
    loop = house.loop
    await loop.tell(started("s", slot(0)))
    ref = loop.state.engines[slot(0)].ref

    before = samples_in_memory()
    for n in range(720):
        found = Sample(house.clock().after(n), "dl", 300 + n, 300 + n, 300, 2**40 + n, 2**40)
        await loop.tell(StreamsAsked(*ref, {loop.state.streams["s"].ref: found}))
    assert samples_in_memory() - before < 10

"""Tries of playback: they begin when planned, give way at once, and end with us."""

import asyncio
from typing import Any

import pytest

from acekeeper.core.facts import StreamEnded, Verdict
from acekeeper.core.model import Health
from acekeeper.errors import EngineInUse, NoAnswer

from ..core.world import slot, started
from .conftest import MakeHouse
from .house import House

CHANNEL, OTHER = "c" * 40, "d" * 40
NOW_AND_ONCE = {"choice_lasts": 0, "try_again_every": 3600}


async def smell(house: House) -> None:
    house.loop.tell(started("s", slot(0), key=CHANNEL))
    house.loop.tell(_ended("s"))
    await house.until(lambda: house.player.tried)


def _ended(name: str) -> StreamEnded:
    return StreamEnded(name, reason="timeout")


async def test_it_begins_and_its_find_is_told(make_house: MakeHouse) -> None:
    house = make_house(**NOW_AND_ONCE)
    await house.open(0)
    await smell(house)
    await house.until(lambda: house.listed() == [0])
    assert house.player.tried == [(0, CHANNEL)]
    [tried] = [h for h in house.happened if h.kind == "playback_tried"]
    assert (tried.data["verdict"], tried.data["detail"]) == (Verdict.PLAYS, "in its own words")


async def test_a_hang_counts_to_the_threshold(make_house: MakeHouse) -> None:
    house = make_house(choice_lasts=0, try_again_every=0.02)
    await house.open(0)
    house.player.outcome = NoAnswer("no answer within 20 s")
    await smell(house)
    await house.until(lambda: house.kinds().count("playback_failed") >= 3)
    assert house.loop.state.engines[slot(0)].health is Health.UNHEALTHY
    house.player.outcome = Verdict.PLAYS
    await house.until(lambda: house.listed() == [0])


async def test_a_viewer_who_comes_breaks_it_off(make_house: MakeHouse) -> None:
    house = make_house(**NOW_AND_ONCE)
    await house.open(0)
    house.player.go_on.clear()
    await smell(house)
    assert house.player.tried == [(0, CHANNEL)]
    house.loop.tell(started("comer", slot(0), key=OTHER))
    await house.until(lambda: house.player.broken_off == 1)
    await house.turns()
    doubt = house.loop.state.engines[slot(0)].doubt
    assert doubt is not None
    assert (doubt.trying, doubt.failures) == (False, 0)
    assert "playback_failed" not in house.kinds()


async def test_so_does_one_who_comes_in_the_same_instant(make_house: MakeHouse) -> None:
    house = make_house(**NOW_AND_ONCE)
    await house.open(0)
    house.player.go_on.clear()
    house.loop.tell(started("s", slot(0), key=CHANNEL))
    house.loop.tell(_ended("s"))
    while (doubt := house.loop.state.engines[slot(0)].doubt) is None or not doubt.trying:
        await asyncio.sleep(0)
    house.loop.tell(started("comer", slot(0), key=OTHER))
    await house.until(lambda: not _trying(house))
    assert house.player.broken_off == len(house.player.tried)


def _trying(house: House) -> bool:
    doubt = house.loop.state.engines[slot(0)].doubt
    return doubt is not None and doubt.trying


@pytest.mark.parametrize("error", [EngineInUse("somebody else"), ZeroDivisionError("a defect")])
async def test_what_says_nothing_of_the_engine_does_not_count(
    make_house: MakeHouse, logged: list[Any], error: Exception
) -> None:
    house = make_house(**NOW_AND_ONCE)
    await house.open(0)
    house.player.outcome = error
    await smell(house)
    await house.until(lambda: house.player.tried and not _trying(house))
    assert "playback_failed" not in house.kinds()
    assert len(logged) == isinstance(error, ZeroDivisionError)


async def test_a_hang_while_we_were_late_does_not_count(make_house: MakeHouse) -> None:
    house = make_house(**NOW_AND_ONCE)
    await house.open(0)
    house.player.outcome = NoAnswer("no answer within 20 s")
    house.player.go_on.clear()
    await smell(house)
    house.clock.ahead += 2
    house.player.go_on.set()
    await house.until(lambda: not _trying(house))
    assert "playback_failed" not in house.kinds()


async def test_the_close_breaks_it_off(make_house: MakeHouse) -> None:
    house = make_house(**NOW_AND_ONCE)
    await house.open(0)
    house.player.go_on.clear()
    await smell(house)
    await house.loop.close()
    assert house.player.broken_off == 1

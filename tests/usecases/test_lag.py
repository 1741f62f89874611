"""How late our own event loop is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from acekeeper.core.model import Now
from acekeeper.usecases.lag import Lag


class Clock:
    def __init__(self) -> None:
        self.now = Now(0.0, 100.0)
        self.read = asyncio.Event()

    def __call__(self) -> Now:
        self.read.set()
        return self.now

    async def next_read(self) -> None:
        """The lag's own timer reads it, and nobody else while we wait."""
        self.read.clear()
        await asyncio.wait_for(self.read.wait(), 30)


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def lag(clock: Clock) -> AsyncIterator[Lag]:
    lag = Lag(clock)
    yield lag
    lag.close()


async def test_a_loop_in_time_excuses_nothing(clock: Clock, lag: Lag) -> None:
    began = clock.now
    assert not lag.since(began)
    for _ in range(2):
        clock.now = clock.now.after(0.9)
        await clock.next_read()
        assert not lag.since(began)


async def test_it_is_late_from_the_moment_its_timer_is(clock: Clock, lag: Lag) -> None:
    began = clock.now
    clock.now = began.after(1.2)
    assert not lag.since(began)
    clock.now = began.after(1.25)  # the timer was due after 0.25
    assert lag.since(began)


async def test_it_was_late_for_what_began_before_and_for_nothing_later(
    clock: Clock, lag: Lag
) -> None:
    began = clock.now
    clock.now = began.after(5)
    await clock.next_read()
    caught_up = clock.now
    clock.now = caught_up.after(0.2)
    assert lag.since(began)
    assert lag.since(caught_up)
    assert not lag.since(clock.now)
    await clock.next_read()
    assert lag.since(began)
    assert not lag.since(clock.now)


async def test_how_late_it_was_is_told(clock: Clock) -> None:
    told: list[float] = []
    lag = Lag(clock, told.append)
    clock.now = clock.now.after(0.75)  # the timer was due after 0.25
    await clock.next_read()
    await clock.next_read()
    lag.close()
    assert told == [0.5, 0.0]


async def test_closed_it_reads_no_clock(clock: Clock, lag: Lag) -> None:
    lag.close()
    clock.read.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(clock.read.wait(), 0.3)

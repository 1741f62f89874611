"""Many times that run out, and one timer."""

import asyncio
from itertools import pairwise

import pytest

from acekeeper.deadlines import Deadlines

from .running import LIMIT_S

SOON_S, LONG_S = 0.05, 1000.0


async def test_each_is_called_in_its_turn_and_who_is_gone_is_not() -> None:
    called: asyncio.Queue[str] = asyncio.Queue()
    deadlines = Deadlines(SOON_S, called.put_nowait)
    for name in ("gone", "again", "first", "again"):
        deadlines.add(name)
    deadlines.discard("gone")
    deadlines.discard("never there")
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(LIMIT_S):
        assert [await called.get(), await called.get()] == ["first", "again"]
        assert asyncio.get_running_loop().time() - began >= SOON_S - 0.01
        deadlines.add("gone")  # when there was none left
        assert await called.get() == "gone"


async def test_one_that_is_added_when_another_is_called_has_its_whole_time() -> None:
    called: list[float] = []
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def call(name: str) -> None:
        called.append(loop.time())
        if len(called) == 3:
            over.set()
        deadlines.add(name)

    deadlines = Deadlines(SOON_S, call)
    deadlines.add("anew")
    await asyncio.wait_for(over.wait(), LIMIT_S)
    assert all(b - a >= SOON_S - 0.01 for a, b in pairwise(called))


async def test_a_thousand_need_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers: list[float] = []
    real = loop.call_later

    def count(delay: float, *given: object) -> asyncio.TimerHandle:
        timers.append(delay)
        return real(delay, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", count)
    deadlines = Deadlines(LONG_S, print)
    for number in range(1000):
        deadlines.add(number % 10)
        deadlines.discard(number % 7)
    assert timers == [LONG_S]

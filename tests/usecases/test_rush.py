"""Hundreds ask at once of hundreds of engines: everybody else has a turn in between."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from acekeeper.core.actions import Refusal
from acekeeper.core.facts import ProvisionRequested, TimePassed
from acekeeper.core.model import Engine
from acekeeper.core.names import PortPlan
from acekeeper.usecases.loop import Provision

from ..core.world import slot, started
from .conftest import MakeHouse
from .house import House

ENGINES = 500
REQUESTS = 300
# Calls of functions in a turn of the event loop, so that no machine is too slow for it: 20 ms are
# some 100,000 of them. With one decision a plan it was millions.
MOST = 20_000


@contextmanager
def calls_counted() -> Iterator[list[int]]:
    """How many functions were called so far, in this thread."""
    calls = [0]

    def count(_: FrameType, event: str, __: object) -> None:
        if event == "call":
            calls[0] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def longest_turn(until: Callable[[], object]) -> int:
    """In calls."""
    longest = 0
    with calls_counted() as calls:
        async with asyncio.timeout(30):
            while not until():
                before = calls[0]
                await asyncio.sleep(0)
                longest = max(longest, calls[0] - before)
    return longest


async def hall(make_house: MakeHouse, **numbers: object) -> House:
    ports = PortPlan(19000, 19999, 20000, 21000, 22000)
    given = {"max_replicas": ENGINES, "answer_within": 60, **numbers}  # no machine is too slow
    house = make_house(ports=ports, **given)
    await house.open(*range(ENGINES))
    return house


def ask(house: House) -> list[asyncio.Future[Provision]]:
    """All in one turn."""
    outcomes = []
    for n in range(REQUESTS):
        outcomes.append(house.loop.outcomes.wait(f"r{n}"))
        house.loop.tell(ProvisionRequested(f"r{n}"))
    return outcomes


def full(house: House) -> None:
    for n in range(ENGINES):
        house.loop.tell(started(f"s{n}", slot(n)))


async def test_all_are_given_an_engine_and_none_shows_up(make_house: MakeHouse) -> None:
    house = await hall(make_house, min_replicas=ENGINES)
    outcomes = ask(house)
    assert await longest_turn(lambda: all(o.done() for o in outcomes)) <= MOST
    given = [outcome.result() for outcome in outcomes]
    slots = [engine.slot for engine in given if isinstance(engine, Engine)]
    assert len(set(slots)) == len(given) == REQUESTS
    house.clock.ahead += 61
    house.loop.tell(TimePassed())
    assert await longest_turn(lambda: house.kinds().count("claim_lapsed") == REQUESTS) <= MOST


async def test_all_are_refused_at_the_cap(make_house: MakeHouse) -> None:
    house = await hall(make_house)
    full(house)
    await house.turns()
    outcomes = ask(house)
    assert await longest_turn(lambda: all(o.done() for o in outcomes)) <= MOST
    assert all(isinstance(outcome.result(), Refusal) for outcome in outcomes)


async def test_all_wait_for_a_start_in_vain(make_house: MakeHouse) -> None:
    house = await hall(make_house, max_replicas=1000, max_concurrent_provisions=1)
    full(house)
    house.engines.silent = set(range(1000))
    outcomes = ask(house)
    assert await longest_turn(lambda: house.runtime.calls) <= MOST
    house.clock.ahead += 61
    house.loop.tell(TimePassed())
    assert await longest_turn(lambda: all(o.done() for o in outcomes)) <= MOST


async def test_all_are_given_a_start(make_house: MakeHouse) -> None:
    house = await hall(
        make_house,
        max_replicas=1000,
        max_concurrent_provisions=REQUESTS,
        min_provision_interval=0,
    )
    full(house)
    outcomes = ask(house)
    assert await longest_turn(lambda: all(o.done() for o in outcomes)) <= MOST
    assert all(isinstance(outcome.result(), Engine) for outcome in outcomes)

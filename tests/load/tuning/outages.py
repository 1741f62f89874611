"""Which outages of systemd, Podman or an engine a call rides out: the real policy of retries on an
event loop whose clock jumps."""

import asyncio
import math
import random
import selectors
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from unittest import mock

from loguru import logger

from acekeeper.adapters.retries import Retries
from acekeeper.errors import Failure, RuntimeUnavailable

from .faults import Spread

_SEEDS = 30


class _Clock(selectors.SelectSelector):
    """Nobody waits: the time passes instead."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


@cache
def attempts(most: int, backoff: float, within: float) -> tuple[tuple[float, ...], ...]:
    """When a call that fails at once is made, in seconds from the first time; one for each way in
    which chance may go."""
    with _jumping() as runner:
        return tuple(runner.run(_attempts(most, backoff, within, seed)) for seed in range(_SEEDS))


async def _attempts(most: int, backoff: float, within: float, seed: int) -> tuple[float, ...]:
    random.seed(seed)
    began = time.monotonic()
    made: list[float] = []

    async def attempt(_: float) -> None:
        made.append(time.monotonic() - began)
        raise RuntimeUnavailable("nobody is there", failure=Failure.UNREACHABLE)

    try:
        await Retries(most, backoff, lambda *_: None)("systemd", attempt, within)
    except RuntimeUnavailable:
        return tuple(made)
    raise AssertionError("nobody answered")


@contextmanager
def _jumping() -> Iterator[asyncio.Runner]:
    clock = _Clock()
    before = random.getstate()
    logger.disable("acekeeper")
    try:
        with (
            mock.patch("time.monotonic", clock.time),
            asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(clock)) as runner,
        ):
            yield runner
    finally:
        logger.enable("acekeeper")
        random.setstate(before)


def rides_out(most: int, backoff: float, within: float) -> Spread:
    """The longest outage that a call survives, as chance may have it."""
    last = [made[-1] for made in attempts(most, backoff, within)]
    return Spread(min(last), sum(last) / len(last), max(last))


def late(most: int, backoff: float, within: float, outages: Iterable[float]) -> float | None:
    """Seconds from the end of such an outage to the next attempt, on average; None if there may be
    none."""
    seconds = [
        next((at - outage for at in made if at >= outage), math.inf)
        for made in attempts(most, backoff, within)
        for outage in outages
    ]
    mean = sum(seconds) / len(seconds)
    return mean if mean < math.inf else None

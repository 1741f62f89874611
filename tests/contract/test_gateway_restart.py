"""Players that wait while the service restarts: its socket holds them."""

import asyncio

import pytest

from .conftest import MakeService, Watch
from .pool import ENOUGH, KEPT, waiting
from .restarts import calling, held
from .service import LIMIT_S, eventually

pytestmark = pytest.mark.timeout(300)

TEN = 10


async def test_ten_that_wait_play_after_a_restart(service: MakeService, watch: Watch) -> None:
    """They are sent to ask again. Calls of the API are answered while they all wait still. However
    long a restart takes here, the wait is longer."""
    count = {"MIN_REPLICAS": TEN, "MAX_REPLICAS": TEN}
    settings = {**KEPT, **count, "GATEWAY_WAIT_S": LIMIT_S}
    running = service(settings, slots=TEN, start_delay=0)

    async def all_wait() -> bool:
        return await waiting(running) == TEN

    with held(running) as popen:
        await running.start(engines=TEN, **popen)
        there = [watch(running, n, as_json=True) for n in range(TEN)]
        await asyncio.gather(*(player.begin() for player in there))
        players = [watch(running, TEN + n, as_json=n % 2 == 0) for n in range(TEN)]
        for player in players:
            player.patience = LIMIT_S
            player.ask()
        await eventually(all_wait)
        async with calling(running):
            assert await running.stop() == 0
            await running.start(**popen)
        await eventually(all_wait)
        await asyncio.gather(*(player.leave() for player in there))
        await asyncio.gather(*(player.takes(ENOUGH) for player in players))
    assert running.log("play_failed") == []

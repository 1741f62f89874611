"""Viewers of channels without peers, beside others: real engines, and a day made short."""

import asyncio
from asyncio import Event, Queue
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from acekeeper.adapters import playback
from acekeeper.usecases import asks

from . import client as calling
from . import viewer as viewing
from .client import CallFailed, Client, ProvisionRefused, Waits
from .picture import PlaybackFailed
from .serving import Serving, serving
from .viewer import Viewer

pytestmark = pytest.mark.timeout(300)

FIVE = {
    "MIN_REPLICAS": "5",
    "MAX_REPLICAS": "5",
    "AUTO_DELETE": "false",
    "MONITOR_INTERVAL_S": "0.2",
}
DEAD, EACH, LIVE = 4, 12, 21  # viewers of dead channels, contents of each, viewers of live ones
ENOUGH = 200_000
SHORT = {"choice_lasts": 0.5, "rest_after_hand_out": 1, "answer_within": 0.2}


async def _briefly(seconds: float) -> None:
    await asyncio.sleep(seconds / 20)


def _dead(number: int, n: int) -> str:
    return f"dead{number:02x}{n:034x}"


async def test_viewers_of_dead_channels_take_no_engine_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go from one to the next, as soon as it is seen to be silent; each time a viewer of a
    live channel comes as well."""
    monkeypatch.setattr(viewing, "_SILENT_AFTER", 1.0)
    monkeypatch.setattr(calling, "_ENGINES_KEPT", 0.1)
    monkeypatch.setattr(playback, "_BYTES_WITHIN", 60.0)  # a try of one lasts
    monkeypatch.setattr(asks, "_STREAM_SETTLES_AFTER", 0.1)
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            serving(tmp_path / "state", monkeypatch, FIVE, **SHORT)
        )
        await running.until(lambda: len(running.listed()) == 5)
        for port in running.listed():
            for content in (_dead(number, n) for number in range(DEAD) for n in range(EACH)):
                await running.fault(port, "no_peers", content)
        client = await stack.enter_async_context(
            Client(running.base, waits=Waits(after_provision=0, sleep=_briefly))
        )
        silent = Queue[Event]()
        viewers = [
            asyncio.create_task(_goes_from_one_to_the_next(client, number, silent))
            for number in range(DEAD)
        ]
        outcomes = []
        for n in range(LIVE):
            go_on = await silent.get()
            outcomes.append(await _watches(client, f"{n:040x}"))
            go_on.set()
        for viewer in viewers:
            viewer.cancel()
        await asyncio.gather(*viewers, return_exceptions=True)
        assert outcomes == ["served"] * LIVE
        assert _most_doubted(running) <= 1


async def _goes_from_one_to_the_next(client: Client, number: int, silent: Queue[Event]) -> None:
    for n in range(EACH):
        async with Viewer(client, _dead(number, n)) as viewer:
            try:
                await viewer.begin()
            except (CallFailed, ProvisionRefused, PlaybackFailed):
                pass  # it has nothing to tell
            else:
                assert await viewer.ended() == "timeout"
                await viewer.leave("timeout")
        go_on = Event()
        silent.put_nowait(go_on)
        await go_on.wait()


async def _watches(client: Client, content: str) -> str:
    await client.poll_status()
    async with Viewer(client, content) as viewer:
        try:
            await viewer.begin()
            await viewer.takes(ENOUGH)
        except (CallFailed, ProvisionRefused, PlaybackFailed) as error:
            return f"refused: {error}"
        await viewer.leave()
    return "served"


def _most_doubted(running: Serving) -> int:
    return sum(e.doubt is not None for e in running.context.state.engines.values())

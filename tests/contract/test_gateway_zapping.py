"""Players that go from channel to channel, and checkers of lists, beside players that stay."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from ..emulator.ffprobe import needs_ffprobe
from .conftest import MakeService
from .picture import PlaybackFailed
from .player import Player
from .pool import channel
from .service import Service, eventually

pytestmark = pytest.mark.timeout(300)

POOL: dict[str, object] = {"MIN_REPLICAS": 2, "MAX_REPLICAS": 6, "MIN_PROVISION_INTERVAL_S": 0}
ENOUGH = 100_000  # bytes
# What comes at once, and what the bitrate gives in a second and a half then: by the engine's clock.
A_LOOK = (9 << 19) + 700_000


@pytest.fixture
async def running(service: MakeService) -> Service:
    made = service(POOL, slots=6)
    await made.start(engines=2)
    return made


async def test_one_player_through_twenty_channels_holds_few_engines(running: Service) -> None:
    for number in range(20):
        async with Player(running.gateway, channel(number)) as player:
            player.ask()
            await player.takes(A_LOOK)
    opened = await running.logged("play_opened", 20)
    assert len(opened) == 20
    assert running.log("play_failed") == []
    assert len({line["engine"] for line in opened}) <= 5


async def test_a_checker_of_a_list_takes_no_engine_from_those_who_watch(running: Service) -> None:
    """It asks for one channel after another, gets some bytes, and goes on. Every third is dead.
    With every eighth somebody comes to watch."""
    for port in running.engine_pids():
        for number in range(0, 30, 3):
            await running.fault_of(port, "load_fails", channel(number))
    async with AsyncExitStack() as stack:
        watching: list[Player] = []
        for number in range(30):
            async with Player(running.gateway, channel(number)) as player:
                try:
                    await player.begin()
                except PlaybackFailed:
                    assert number % 3 == 0
            if number % 8 == 7:
                coming = Player(running.gateway, channel(1000 + number), as_json=True)
                watching.append(await stack.enter_async_context(coming))
                coming.ask()
        for player in watching:
            await player.takes(ENOUGH)
    streams = await running.get("/streams?limit=1000")
    theirs = [s["key"] for s in streams if s["key"] in {p.content for p in watching}]
    assert len(theirs) == len(watching)  # none was moved, nor came a second time


@needs_ffprobe
async def test_ffprobe_then_ffmpeg(running: Service) -> None:
    """The second one comes while the first one's session is open."""
    url = f"{running.gateway}/ace/getstream?id={channel(7)}"
    for command in (
        ["ffprobe", "-v", "error", "-show_streams", url],
        ["ffmpeg", "-v", "error", "-i", url, "-t", "1", "-f", "null", "-"],
    ):
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
        assert await asyncio.wait_for(process.wait(), 60) == 0

    async def is_over() -> bool:
        started = await running.get("/streams?status=started")
        return len(started) <= 1

    await eventually(is_over)

"""A real player at the gateway."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..emulator.ffprobe import needs_ffprobe
from .conftest import Play
from .playing import ID

LIMIT_S = 90.0
_COMMAND = "ffmpeg -nostdin -v error -stats_period 0.2 -progress pipe:1 -i {url} -f null -"
_DECODED = b"out_time_us="


@asynccontextmanager
async def ffmpeg(url: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *_COMMAND.format(url=url).split(), stdout=PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


async def decodes(player: Process, seconds: float) -> float:
    """Waits until it has decoded so much; how much it has then."""
    assert player.stdout
    async with asyncio.timeout(LIMIT_S):
        while line := await player.stdout.readline():
            said = line.removeprefix(_DECODED).strip()
            if line.startswith(_DECODED) and said.isdigit() and int(said) / 1e6 >= seconds:
                return int(said) / 1e6
    raise AssertionError(f"it ended before it had decoded {seconds:g} s")


@needs_ffprobe
async def test_ffmpeg_plays_on_when_its_engine_is_killed(play: Play) -> None:
    at = await play(2)
    async with ffmpeg(f"http://127.0.0.1:{at.port}/ace/manifest.m3u8?infohash={ID}") as player:
        decoded = await decodes(player, 10)
        [stream] = at.streams
        assert stream.slot
        await at.served.crash(stream.slot.port)
        await at.served.until(lambda: stream not in at.streams)
        await decodes(player, decoded + 15)
        [stream] = at.streams
        assert stream.slot
        counters = await at.served.counters(stream.slot.port)
        assert counters["bytes_sent"] > 0, "it had all of that from the engine before"
        assert player.returncode is None

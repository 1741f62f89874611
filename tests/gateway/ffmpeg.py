"""FFmpeg as a player."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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

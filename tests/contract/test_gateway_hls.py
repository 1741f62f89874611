"""A player of HLS goes on under its URL, whatever ends: an engine, and the service itself."""

import signal

import aiohttp
import pytest
from yarl import URL

from acekeeper.gateway.lists import Playlist, read

from ..emulator.ffprobe import needs_ffprobe
from ..gateway.ffmpeg import decodes, ffmpeg
from .conftest import MakeService
from .restarts import held
from .service import LIMIT_S, Service, eventually

pytestmark = pytest.mark.timeout(300)

ID = "0123456789abcdef0123456789abcdef01234567"
POOL: dict[str, object] = {"MIN_REPLICAS": 2, "MAX_REPLICAS": 3, "MIN_PROVISION_INTERVAL_S": 0}


async def url_of_list(running: Service) -> str:
    manifest = f"{running.gateway}/ace/manifest.m3u8?infohash={ID}"
    async with aiohttp.ClientSession() as http, http.get(manifest, allow_redirects=False) as reply:
        return reply.headers["Location"]


async def list_at(url: str) -> Playlist:
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as reply:
        assert reply.status == 200, await reply.text()
        return read(await reply.read())


async def engine_of(running: Service) -> int:
    [stream] = await running.get("/streams?status=started")
    return URL(stream["stat_url"]).port or 0


@needs_ffprobe
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_session_that_was_moved_plays_on_after_a_restart(
    service: MakeService, number: signal.Signals
) -> None:
    running = service(POOL, slots=3)
    with held(running) as popen:
        await running.start(engines=2, **popen)
        url = await url_of_list(running)
        async with ffmpeg(url) as player:
            decoded = await decodes(player, 10)
            first, lost = await list_at(url), await engine_of(running)
            await running.crash(lost)

            async def moved() -> bool:
                return (await list_at(url)).last.discontinuity > first.last.discontinuity

            await eventually(moved)
            decoded = await decodes(player, decoded + 10)
            before, engine = await list_at(url), await engine_of(running)
            assert engine != lost
            assert await running.ended_by(number) == (0 if number is signal.SIGTERM else -number)
            await running.start(**popen)
            after = await list_at(url)
            assert after.number > before.last.number
            assert after.discontinuity > before.last.discontinuity
            assert after.segments[0].is_discontinuous
            assert await engine_of(running) == engine
            await decodes(player, decoded + 15)

            async def went_on() -> bool:
                return (await list_at(url)).last > after.last

            await eventually(went_on)  # what is decoded may have been fetched before the restart

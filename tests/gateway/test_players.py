"""A real player at the gateway."""

from ..emulator.ffprobe import needs_ffprobe
from .conftest import Play
from .ffmpeg import decodes, ffmpeg
from .playing import ID


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

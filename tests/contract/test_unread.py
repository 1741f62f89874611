"""Streams that cannot be asked about, on real engines: judged by who is connected."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acekeeper.adapters import engine as engine_api
from acekeeper.core.names import Slot
from acekeeper.usecases import asks

from .client import Client
from .serving import serving

pytestmark = pytest.mark.timeout(300)

ONE = {
    "MIN_REPLICAS": "1",
    "MAX_REPLICAS": "2",
    "AUTO_DELETE": "false",
    "MONITOR_INTERVAL_S": "0.1",
}
URLS = {
    "no URL": "",
    "another's URL": "http://127.0.0.1:1/somewhere",
    "hang_stat": f"http://127.0.0.1:1/ace/stat/{'a' * 40}/token",
}
_WATCHES = """
import json, sys, urllib.request
query = "?infohash=" + "b" * 40 + "&format=json&pid=watcher"
with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/ace/getstream{query}") as answer:
    playback_url = json.load(answer)["response"]["playback_url"]
with urllib.request.urlopen(playback_url) as picture:
    while picture.read(100_000):
        print("plays", flush=True)
"""


@asynccontextmanager
async def watched(port: int) -> AsyncIterator[None]:
    """From another process."""
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _WATCHES, str(port)), stdout=asyncio.subprocess.PIPE
    )
    assert watcher.stdout
    try:
        assert await watcher.stdout.readline()
        yield
        assert watcher.returncode is None
    finally:
        watcher.kill()
        await watcher.communicate()


async def starts(client: Client, port: int, stat_url: str = "") -> None:
    """An event of a stream whose engine cannot be asked about it."""
    event = {
        "engine": {"host": "127.0.0.1", "port": port},
        "stream": {"key_type": "infohash", "key": "a" * 40},
        "session": {
            "playback_session_id": "s",
            "stat_url": stat_url,
            "command_url": "",
            "is_live": 1,
        },
        "labels": {"stream_id": "s"},
    }
    assert await client.event("/events/stream_started", event)


@pytest.mark.parametrize("why", ["no URL", "another's URL", "hang_stat"])
async def test_it_ends_and_its_engine_is_free_again_once_nobody_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(engine_api, "_STAT_WITHIN", 0.2)
    monkeypatch.setattr(asks, "_STREAM_SETTLES_AFTER", 0.0)
    async with (
        serving(tmp_path / "state", monkeypatch, ONE, unread_after=0.5) as running,
        Client(running.base) as client,
    ):
        await running.until(lambda: len(running.listed()) == 1)
        port = min(running.listed())
        state = running.context.state
        engine = state.engines[Slot("127.0.0.1", port)]
        async with watched(port):
            await running.until(lambda: engine.ref in state.callers)
            await running.fault(port, "hang_stat")
            await starts(client, port, URLS[why])
            looks = {state.callers[engine.ref].at}

            def looked_often() -> bool:
                looks.add(state.callers[engine.ref].at)
                return len(looks) > 5 and max(looks) - min(looks) > 1

            await running.until(looked_often)
            assert state.streams["s"].ended is None
        await running.until(lambda: state.streams["s"].ended is not None)
        assert state.streams["s"].reason == "unread"
        assert port in running.listed()


async def test_a_drain_ends_once_nobody_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks, "_STREAM_SETTLES_AFTER", 0.0)
    async with (
        serving(
            tmp_path / "state", monkeypatch, ONE, drain_wait=0.2, drain_look_again=0.1
        ) as running,
        Client(running.base) as client,
    ):
        await running.until(lambda: len(running.listed()) == 1)
        port = min(running.listed())
        state = running.context.state
        slot = Slot("127.0.0.1", port)
        start = state.engines[slot].incarnation
        async with watched(port):
            await starts(client, port)
            path = f"/engines/{state.engines[slot].container_id}/drain"
            assert await client.event(path, {})
            looks = set[float]()

            def looked_often() -> bool:
                drain = state.engines[slot].drain
                if drain is not None and drain.looked is not None:
                    looks.add(drain.looked.mono)
                return len(looks) > 5

            await running.until(looked_often)
            assert state.engines[slot].incarnation == start
        await running.until(
            lambda: slot not in state.engines or state.engines[slot].incarnation != start
        )

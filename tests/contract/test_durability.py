"""What was acknowledged is there after kill -9."""

import asyncio
from asyncio import Task
from functools import partial
from itertools import count
from typing import Any

import aiohttp
import pytest

from ..api import bodies
from .client import Client, Waits
from .conftest import Begin, MakeService, Watch
from .pool import ENOUGH, asked, by_rest, channel, only_these_are_left, waiting
from .service import NO_SWEEPS, Service, eventually
from .viewer import Viewer

pytestmark = pytest.mark.timeout(300)

SETTINGS = {"MIN_REPLICAS": 0, **NO_SWEEPS}
TWO_SECONDS = (9 << 19) + 800_000  # bytes: what comes at once, and what the bitrate gives then


def started(stream_id: str) -> dict[str, Any]:
    """On an engine that is not ours, so that nobody but the client can say that it has ended."""
    return bodies.started(labels={"stream_id": stream_id})


class Load:
    """Tells of streams until nobody answers any more, and remembers what was acknowledged."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self.end_sent: set[str] = set()

    async def singles(self, worker: int) -> None:
        async with Client(self._service.base) as client:
            for number in count():
                stream = f"single-{worker}-{number}"
                if not await client.event("/events/stream_started", started(stream)):
                    return
                self.begun.add(stream)
                if number % 2:
                    self.end_sent.add(stream)
                    if not await client.event("/events/stream_ended", {"stream_id": stream}):
                        return
                    self.ended.add(stream)

    async def batches(self, worker: int) -> None:
        earlier: list[str] = []
        for number in count():
            streams = [f"batch-{worker}-{number}-{n}" for n in range(40)]
            self.end_sent |= set(earlier)
            try:
                answer = await self._service.call(
                    "POST",
                    "/events/batch",
                    {
                        "started": [started(stream) for stream in streams],
                        "ended": [{"stream_id": stream} for stream in earlier],
                    },
                )
            except aiohttp.ClientError:
                return
            assert answer.status == 200
            self.begun |= taken(streams, answer.json["started"])
            self.ended |= taken(earlier, answer.json["ended"])
            earlier = streams[::2]


def taken(streams: list[str], results: list[dict[str, Any]]) -> set[str]:
    return {stream for stream, result in zip(streams, results, strict=True) if result["success"]}


async def test_events_acknowledged_in_the_midst_of_load_are_kept(service: MakeService) -> None:
    running = service(SETTINGS)
    await running.start()
    load = Load(running)
    workers = [asyncio.create_task(load.singles(n)) for n in range(8)]
    workers += [asyncio.create_task(load.batches(n)) for n in range(2)]

    async def well_under_way() -> bool:
        return len(load.begun) > 500 and len(load.ended) > 200

    await eventually(well_under_way)
    # At the last moment the disk stands still, so that nothing may be acknowledged any more.
    with running.disk_that_stands_still():
        at_last = await told_at_last(running, load)
        await running.kill()
        await asyncio.gather(*workers, *at_last)

    await running.start()
    is_started, is_ended = await running.stream_ids("started"), await running.stream_ids("ended")
    assert load.ended <= is_ended
    assert load.begun - load.end_sent <= is_started
    assert load.begun <= is_started | is_ended


async def told_at_last(service: Service, load: Load) -> list[Task[None]]:
    """Tells of some more, until all are known in memory."""

    async def tell(stream: str) -> None:
        async with Client(service.base) as client:
            if await client.event("/events/stream_started", started(stream)):
                load.begun.add(stream)

    async def are_known() -> bool:
        return streams <= await service.stream_ids("started")

    streams = {f"at-last-{n}" for n in range(10)}
    tasks = [asyncio.create_task(tell(stream)) for stream in streams]
    await eventually(are_known)
    return tasks


async def test_an_end_that_came_before_its_start_is_remembered(service: MakeService) -> None:
    running = service(SETTINGS)
    await running.start()
    async with Client(running.base) as client:
        assert await client.event("/events/stream_ended", {"stream_id": "late"})
        await running.kill()
        await running.start()
        assert await client.event("/events/stream_started", started("late"))
        assert await client.event("/events/stream_started", started("other"))
    assert await running.stream_ids("started") == {"other"}
    assert await running.stream_ids("ended") == {"late"}


async def test_after_a_restart_engines_are_asked_about_their_streams(service: MakeService) -> None:
    running = service(SETTINGS | {"MIN_REPLICAS": 2})
    await running.start(engines=2)
    async with (
        Client(running.base, waits=Waits(after_provision=0)) as client,
        Viewer(client, "a" * 40) as stays,
        Viewer(client, "b" * 40) as goes,
    ):
        await stays.begin()
        await goes.begin()
        await goes.takes(TWO_SECONDS)  # an engine may not know a younger one yet
        await running.kill()
        await running.lose_sessions(goes.address.port)  # while nobody keeps the books
        await running.start()
        await eventually(lambda: has_ended(running, goes.stream_id))
        assert await running.stream_ids("started") == {stays.stream_id}
    (ended,) = running.log("stream_ended")
    assert ended["reason"] == "unknown_to_engine"


async def has_ended(service: Service, stream_id: str) -> bool:
    return stream_id in await service.stream_ids("ended")


async def test_what_an_engine_opened_for_a_player_is_stopped_before_it_plays_again(
    ready: Begin, watch: Watch
) -> None:
    """The kill comes when the engine has the session, and the disk has no more than that it was
    asked for it."""
    running = await ready(1)
    [port] = await by_rest(running)
    await running.fault(port, "slow_getstream")
    first = watch(running, 1)
    first.ask()
    await asked(running, channel(1), 1)
    with running.disk_that_stands_still():
        await running.clear(port)
        await running.logged("play_opened")
        await running.kill()
    [left] = await running.sessions(port)

    await running.fault(port, "hang_stop")
    await running.start()
    await asked(running, channel(1), 3)  # it is opened once more, and that is to be stopped
    [engine] = await running.get("/engines")
    [held] = await running.get(f"/streams?status=started&container_id={engine['container_id']}")
    assert (held["via"], held["key"]) == ("gateway", "")
    second = watch(running, 1)
    second.ask()
    await eventually(partial(waiting, running))
    [again] = await running.sessions(port)
    assert again["token"] != left["token"]
    await running.clear(port)
    await second.takes(ENOUGH)
    assert (await running.counters(port))["sessions_stopped"] == 1  # it was not cut
    await only_these_are_left(running, second)

"""Ten viewers, and the worst that may happen around them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from .client import CallFailed, Client, ProvisionRefused, Waits
from .conftest import MakeService
from .picture import PlaybackFailed
from .service import NO_SWEEPS, Service, eventually
from .viewer import Viewer

pytestmark = pytest.mark.timeout(300)

VIEWERS = 10
ENOUGH = 200_000  # bytes: more than any buffer on the way still holds
HURRIED = Waits(after_provision=0)
LIMITS: dict[str, object] = {
    "MIN_PROVISION_INTERVAL_S": 0,
    "MAX_CONCURRENT_PROVISIONS": VIEWERS,
    **NO_SWEEPS,
}
# Most viewers have to ask for an engine; or there is one for each when they come.
FEW_READY = {"MIN_REPLICAS": 3, **LIMITS}
ALL_READY = {"MIN_REPLICAS": VIEWERS, "MAX_REPLICAS": VIEWERS + 2, **LIMITS}


def infohash(number: int) -> str:
    return f"{number:040x}"


@asynccontextmanager
async def audience(service: Service) -> AsyncIterator[list[Viewer]]:
    """Ten who play, having come one after another."""
    async with AsyncExitStack() as stack:
        base = f"{service.base}/"  # which gives doubled slashes
        client = await stack.enter_async_context(Client(base, waits=HURRIED))
        viewers = [
            await stack.enter_async_context(Viewer(client, infohash(number)))
            for number in range(VIEWERS)
        ]
        for viewer in viewers:
            # One in a hurry may be given an engine that does not listen yet.
            await eventually(partial(begins, viewer))
        await all_take(viewers)
        yield viewers


async def all_take(viewers: list[Viewer]) -> None:
    await asyncio.gather(*(viewer.takes(ENOUGH) for viewer in viewers))


async def test_every_viewer_has_an_engine_of_its_own_and_leaves_no_trace(
    service: MakeService,
) -> None:
    running = service(FEW_READY)
    await running.start(engines=3)
    async with audience(running) as viewers:
        assert len({viewer.address.port for viewer in viewers}) == VIEWERS
        assert all(viewer.start_acknowledged for viewer in viewers)
        streams = {stream["id"]: stream for stream in await running.get("/streams?status=started")}
        assert streams.keys() == {viewer.stream_id for viewer in viewers}
        ids = {e["port"]: e["container_id"] for e in await running.get("/engines")}
        for viewer in viewers:
            assert streams[viewer.stream_id]["container_id"] == ids[viewer.address.port]
            assert [s.id for s in await viewer.client.streams(ids[viewer.address.port])] == [
                viewer.stream_id
            ]
        await asyncio.gather(*(viewer.leave() for viewer in viewers))
        assert all(viewer.end_acknowledged for viewer in viewers)
        assert await running.stream_ids("started") == set()
        assert await running.stream_ids("ended") == streams.keys()
        for viewer in viewers:
            assert (await running.counters(viewer.address.port))["sessions"] == 0
    errors = [line for line in running.log() if line["level"] in ("WARNING", "ERROR", "CRITICAL")]
    assert errors == []


async def test_an_engine_killed_hurts_its_own_viewer_alone(service: MakeService) -> None:
    """Only the kernel's word can take it off the list: every sweep is an hour away."""
    running = service(ALL_READY)
    await running.start(engines=VIEWERS)
    async with audience(running) as viewers:
        victim, *others = viewers
        port = victim.address.port
        await running.crash(port)
        await eventually(lambda: is_off_the_list(running, port))
        await victim.ended()
        await all_take(others)
        assert victim.stream_id not in await running.stream_ids("started")
        assert {viewer.stream_id for viewer in others} == await running.stream_ids("started")

        await victim.leave("eof")
        # Until its client has read the list again it may be sent to the dead engine once more.
        await eventually(lambda: begins(victim))
        await victim.takes(ENOUGH)
        await eventually(lambda: has_free(running, 2))
        (died,) = running.log("engine_died")
        assert died["engine"] == f"engine-{port}"


async def test_an_engine_hung_leaves_the_list_and_costs_nobody_else_anything(
    service: MakeService,
) -> None:
    interval = 1
    running = service(ALL_READY | {"HEALTH_CHECK_INTERVAL_S": interval})
    await running.start(engines=VIEWERS)
    async with audience(running) as viewers, Client(running.base) as reader:
        victim, *others = viewers
        await running.fault(victim.address.port, "hang")
        over = asyncio.Event()
        reading = asyncio.create_task(reads(reader, over))
        # A probe takes 5 s to fail. One in which acekeeper itself was slow counts against nobody.
        await eventually(
            lambda: is_off_the_list(running, victim.address.port), within=2 * (interval + 5) + 3
        )
        await all_take(others)
        over.set()
        assert await reading > 0
        assert {viewer.address.port for viewer in others} <= {
            engine["port"] for engine in await running.get("/engines")
        }
        (suspected,) = running.log("engine_suspected")
        assert suspected["engine"] == f"engine-{victim.address.port}"


async def test_acekeeper_killed_under_load_comes_back_as_it_was(service: MakeService) -> None:
    running = service(ALL_READY)
    await running.start(engines=VIEWERS)
    async with audience(running) as viewers, Client(running.base, waits=HURRIED) as client:
        guests: list[Viewer] = []
        over = asyncio.Event()
        crowd = [asyncio.create_task(come_and_go(client, guests, n, over)) for n in range(3)]
        await eventually(lambda: have_left(guests, 6))
        engines = {e["port"]: e["container_id"] for e in await running.get("/engines?include=all")}
        pids = running.engine_pids()

        await running.kill()
        before = len(guests)
        await eventually(lambda: have_come(guests, before + 1))  # the crowd does not stop
        await running.start()

        after = {e["port"]: e["container_id"] for e in await running.get("/engines")}
        assert engines.items() <= after.items()
        assert pids.items() <= running.engine_pids().items()
        await all_take(viewers)
        left = sum(guest.end_acknowledged for guest in guests)
        await eventually(lambda: have_left(guests, left + 3))
        over.set()
        await asyncio.gather(*crowd)

        started, ended = await running.stream_ids("started"), await running.stream_ids("ended")
        assert {viewer.stream_id for viewer in viewers} <= started
        assert {g.stream_id for g in guests if g.start_acknowledged} <= started | ended
        gone = {g.stream_id for g in guests if g.start_acknowledged and g.end_acknowledged}
        assert gone <= ended
    assert [line for line in running.log() if line["level"] in ("ERROR", "CRITICAL")] == []


async def is_off_the_list(service: Service, port: int) -> bool:
    return all(engine["port"] != port for engine in await service.get("/engines"))


async def begins(viewer: Viewer) -> bool:
    try:
        await viewer.begin()
    except PlaybackFailed:
        return False
    return True


async def has_free(service: Service, count: int) -> bool:
    status = await service.get("/orchestrator/status")
    return bool(status["capacity"]["available"] >= count)


async def reads(client: Client, over: asyncio.Event) -> int:
    """All that a viewer's choice reads, without a pause; a read over 3 s raises. How often."""
    count = 0
    while not over.is_set():
        for engine in await client.read_engines():
            await client.streams(engine.container_id)
        count += 1
    return count


async def come_and_go(
    client: Client, guests: list[Viewer], number: int, over: asyncio.Event
) -> None:
    """Whatever fails while acekeeper is away is not held against it."""
    turn = 0
    while not over.is_set():
        turn += 1
        async with Viewer(client, infohash(1000 * (number + 1) + turn)) as guest:
            guests.append(guest)
            try:
                await guest.begin()
                await guest.takes(1)
            except (CallFailed, ProvisionRefused, PlaybackFailed):
                await asyncio.sleep(0.05)
            await guest.leave()


async def have_come(guests: list[Viewer], count: int) -> bool:
    return len(guests) >= count


async def have_left(guests: list[Viewer], count: int) -> bool:
    return sum(guest.end_acknowledged for guest in guests) >= count

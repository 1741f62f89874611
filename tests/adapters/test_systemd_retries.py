"""Calls to systemd that fail, on a real bus: what is repeated, and what is looked at first."""

import asyncio
import os

import pytest

from acekeeper.core.facts import EngineStarted, Found, RuntimeConnected, RuntimeLost
from acekeeper.errors import EngineFailed, Failure, RuntimeUnavailable, StartTimedOut

from .policies import Failed
from .private_bus import NO_REPLY, Daemon, FakeSystemd, FakeUnit, Job
from .quadlet_world import LIMIT_S, START, START_S, WAY, World, pass_time

LOST = ("systemd", Failure.BROKEN)
NEVER = 3600.0  # a pause no test waits for


@pytest.fixture
def failed() -> Failed:
    return Failed()


async def test_reads_are_repeated(world: World, failed: Failed) -> None:
    world.systemd.change(world.unit, active="active", invocation=START)
    runtime = await world.runtime(retries=failed.retries(2))
    world.systemd.loses = {"ListUnitsByPatterns": 2, "Get": 1}
    assert (await runtime.list()).found == (Found(world.slot, START, ""),)
    assert world.systemd.count("ListUnitsByPatterns") == 3
    assert failed.calls == [LOST] * 3


async def test_reads_are_repeated_so_often_and_then_tell_it(world: World, failed: Failed) -> None:
    runtime = await world.runtime(retries=failed.retries(2))
    world.systemd.loses = {"ListUnitsByPatterns": 100}
    with pytest.raises(RuntimeUnavailable, match="did not answer ListUnitsByPatterns"):
        await runtime.list()
    assert world.systemd.count("ListUnitsByPatterns") == 3


async def test_a_refusal_is_not_repeated(world: World, failed: Failed) -> None:
    runtime = await world.runtime(retries=failed.retries(2))
    denied = "org.freedesktop.DBus.Error.AccessDenied"
    world.systemd.refuses["ListUnitsByPatterns"] = (denied, "no")
    with pytest.raises(RuntimeUnavailable):
        await runtime.list()
    assert failed.calls == [("systemd", Failure.ERROR)]


async def test_a_start_that_never_arrived_is_repeated(world: World, failed: Failed) -> None:
    world.systemd.loses = {"StartUnit": 2}
    runtime = await world.runtime(retries=failed.retries(3))
    assert await world.start(runtime) == EngineStarted(
        world.slot, START, "", build=world.build, way_out=WAY
    )
    calls = [name for name, _ in world.systemd.calls if name in ("StartUnit", "GetAll")]
    looked = ["StartUnit", "GetAll", "GetAll"]
    assert calls == [*looked, *looked, "StartUnit"]
    assert failed.calls == [LOST] * 2


def happens(world: World) -> None:
    """Every start does, and the answer is lost."""

    def start(job: Job) -> None:
        world.systemd.started(job.unit, START)
        job.refuse(NO_REPLY, "left")

    world.systemd.on_start = start


async def test_a_start_that_happened_is_not_repeated(world: World, failed: Failed) -> None:
    happens(world)
    runtime = await world.runtime(retries=failed.retries(3))
    assert await world.start(runtime) == EngineStarted(
        world.slot, START, "", build=world.build, way_out=WAY
    )
    assert world.systemd.count("StartUnit") == 1
    assert (await runtime.list()).found == (
        Found(world.slot, START, "", build=world.build, way_out=WAY),
    )
    assert failed.calls == [LOST]


async def test_also_when_one_look_is_not_enough(world: World, failed: Failed) -> None:
    happens(world)
    world.systemd.loses = {"GetAll": 2}
    runtime = await world.runtime(retries=failed.retries(3))
    assert await world.start(runtime) == EngineStarted(
        world.slot, START, "", build=world.build, way_out=WAY
    )
    assert world.systemd.count("StartUnit") == 1


@pytest.mark.parametrize(
    "so_far", [{"active": "activating", "invocation": START, "main_pid": 7}, {"active": "inactive"}]
)
async def test_a_start_under_way_is_waited_for(
    world: World, failed: Failed, so_far: dict[str, object]
) -> None:
    """Also one whose job still waits for its turn."""

    def start(job: Job) -> None:
        world.systemd.change(job.unit, job=job.number, **so_far)
        job.refuse(NO_REPLY, "left")

    world.systemd.on_start = start
    runtime = await world.runtime(retries=failed.retries(3))
    starting = asyncio.create_task(world.start(runtime))
    job = await world.systemd.jobs.get()
    async with asyncio.timeout(LIMIT_S):
        while world.systemd.count("GetAll") < 2:
            await asyncio.sleep(0)
    await runtime.list()  # by then the answers to the look are in
    assert not starting.done()
    world.systemd.started(job.unit, START)
    job.removed()
    assert await starting == EngineStarted(world.slot, START, "", build=world.build, way_out=WAY)
    assert world.systemd.count("StartUnit") == 1


async def test_a_start_that_failed_meanwhile_has_failed(world: World, failed: Failed) -> None:
    def start(job: Job) -> None:
        world.systemd.change(job.unit, active="activating", invocation=START, main_pid=7)
        world.die(exit_status=125)
        job.refuse(NO_REPLY, "left")

    world.systemd.on_start = start
    runtime = await world.runtime(retries=failed.retries(3))
    with pytest.raises(EngineFailed, match="image or storage"):
        await world.start(runtime)
    assert world.systemd.count("StartUnit") == 1
    assert not world.environment.exists()


async def test_what_an_earlier_start_left_is_not_taken_for_it(world: World, failed: Failed) -> None:
    """A unit that failed is still there."""
    end = {"result": "exit-code", "exit_code": os.CLD_EXITED, "exit_status": 1}
    world.systemd.change(world.unit, active="failed", invocation="ef" * 16, **end)
    world.systemd.loses = {"StartUnit": 1}
    runtime = await world.runtime(retries=failed.retries(3))
    assert await world.start(runtime) == EngineStarted(
        world.slot, START, "", build=world.build, way_out=WAY
    )


async def test_a_start_goes_on_when_the_bus_was_lost_in_it(world: World, failed: Failed) -> None:
    world.systemd.on_start = Job.reply
    runtime = await world.runtime(retries=failed.retries(1000, backoff=0.01))
    starting = asyncio.create_task(world.start(runtime))
    await world.systemd.jobs.get()
    await world.systemd.close()
    assert isinstance(await world.hear(), RuntimeLost)
    unit = FakeUnit(active="active", invocation=START, main_pid=7)
    world.systemd.units[world.unit] = unit  # nobody is told
    await world.systemd.open(world.daemon.address)
    assert await world.hear() == RuntimeConnected()
    assert await starting == EngineStarted(world.slot, START, "", build=world.build, way_out=WAY)
    assert world.systemd.count("StartUnit") == 1
    assert failed.calls[0] == LOST


async def test_a_start_has_its_time_however_it_is_repeated(world: World, failed: Failed) -> None:
    world.systemd.loses = {"StartUnit": 100}
    retries = failed.retries(100, backoff=NEVER)
    runtime = await world.runtime(start_within=START_S, retries=retries)
    starting = asyncio.create_task(world.start(runtime))
    async with asyncio.timeout(LIMIT_S):
        while not failed.calls:
            await asyncio.sleep(0)
    pass_time(START_S)
    with pytest.raises(StartTimedOut, match="PROVISION_TIMEOUT_S"):
        await starting
    assert world.systemd.count("StartUnit") == 1
    assert world.systemd.count("StopUnit") == 1


async def test_a_stop_is_repeated(world: World, failed: Failed) -> None:
    runtime = await world.runtime(retries=failed.retries(3))
    await world.start(runtime)
    world.systemd.loses = {"StopUnit": 2}
    async with asyncio.timeout(LIMIT_S):
        await runtime.stop(world.slot, START)
    assert world.systemd.count("StopUnit") == 3
    assert failed.calls == [LOST] * 2


async def test_a_stop_is_not_repeated_on_another_start(world: World, failed: Failed) -> None:
    runtime = await world.runtime(retries=failed.retries(3))
    await world.start(runtime)

    def stop(job: Job) -> None:
        world.systemd.change(job.unit, active="active", invocation="ef" * 16, main_pid=8)
        job.refuse(NO_REPLY, "left")

    world.systemd.on_stop = stop
    async with asyncio.timeout(LIMIT_S):
        await runtime.stop(world.slot, START)
    assert world.systemd.count("StopUnit") == 1


async def test_every_attempt_to_connect_that_fails_counts(
    daemon: Daemon, systemd: FakeSystemd, world: World, failed: Failed
) -> None:
    await world.runtime(retries=failed.retries(0))
    await systemd.close()
    await daemon.stop()
    assert isinstance(await world.hear(), RuntimeLost)
    async with asyncio.timeout(LIMIT_S):
        while ("systemd", Failure.UNREACHABLE) not in failed.calls:
            await asyncio.sleep(0.01)

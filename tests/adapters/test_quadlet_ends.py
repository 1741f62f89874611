"""How engines of the quadlet runtime end, on a real bus."""

import asyncio
import os

import pytest

from acekeeper.core.facts import (
    EngineDied,
    Found,
)
from acekeeper.core.names import Slot
from acekeeper.errors import EngineFailed

from .quadlet_world import HOST, ID, START, WAY, World


@pytest.mark.parametrize(
    ("end", "cause", "detail"),
    [
        ({"exit_status": 3}, "exited", "code 3"),
        ({"exit_status": 125}, "exited", "code 125"),
        ({"exit_status": 137}, "killed", "SIGKILL"),
        ({"exit_status": 250}, "killed", "signal 122"),
        ({"exit_code": os.CLD_KILLED, "exit_status": 9}, "killed", "its monitor got SIGKILL"),
        ({"exit_status": 137, "result": "oom-kill"}, "oom", "for want of memory"),
        ({"exit_status": 0, "result": "success"}, "exited", "code 0"),
    ],
)
async def test_a_death_is_told_once_and_with_its_cause(
    world: World, end: dict[str, object], cause: str, detail: str
) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await runtime.list()  # the start is named by now
    world.die(**end)
    died = await world.hear()
    assert isinstance(died, EngineDied)
    assert (died.slot, died.incarnation, died.cause) == (world.slot, START, cause)
    assert detail in died.detail
    await world.released()
    assert world.told.empty()


async def test_a_death_is_told_with_its_time_by_systemd(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await runtime.list()
    world.die(ended=12.25)
    died = await world.hear()
    assert isinstance(died, EngineDied)
    assert died.at == 12.25


async def test_the_time_of_another_starts_end_is_not_that_of_this_one(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await runtime.list()
    world.systemd.change(world.unit, active="active", invocation=f"{7:032x}", ended=12.25)
    died = await world.hear()
    assert isinstance(died, EngineDied)
    assert died.at is None


async def test_a_death_is_told_before_the_unit_is_gone(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    world.systemd.change(
        world.unit, active="deactivating", main_pid=0, exit_code=os.CLD_EXITED, exit_status=1
    )
    assert isinstance(await world.hear(), EngineDied)
    assert (await runtime.list()).found == ()
    assert world.environment.exists()

    # The next one there waits for it.
    again = asyncio.create_task(world.start(runtime))
    await runtime.list()
    assert world.systemd.count("StartUnit") == 1
    world.systemd.change(world.unit, active="failed")
    assert (await again).incarnation == f"{2:032x}"


async def test_a_stop_is_told_as_a_death(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await runtime.stop(world.slot, START)
    assert await world.hear() == EngineDied(world.slot, START, "stopped", "systemd was asked to")
    await world.released()


async def test_another_start_is_never_stopped(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await runtime.stop(world.slot, "another")
    await runtime.stop(Slot(HOST, world.slot.port + 1), START)
    assert world.systemd.count("StopUnit") == 0


async def test_a_stop_that_fails_says_so(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    world.systemd.on_stop = lambda job: job.run(job.reply, lambda: job.removed("canceled"))
    with pytest.raises(EngineFailed, match="its job was canceled"):
        await runtime.stop(world.slot, START)


async def test_a_unit_restarted_by_hand_keeps_its_file_and_is_found(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    change = world.systemd.change
    change(world.unit, active="deactivating", job=9)
    change(world.unit, main_pid=0, exit_code=os.CLD_EXITED)
    change(world.unit, active="inactive")
    change(world.unit, active="activating", invocation=ID[:32], main_pid=9)
    change(world.unit, active="active", job=0)
    died = await world.hear()
    assert isinstance(died, EngineDied)
    assert died.incarnation == START
    assert (await runtime.list()).found == (
        Found(world.slot, ID[:32], "", build=world.build, way_out=WAY),
    )
    assert world.environment.exists()

"""What the quadlet runtime finds, on a real bus."""

import asyncio
from dataclasses import replace

import pytest

from acekeeper.adapters import failed_units
from acekeeper.core.facts import (
    EngineDied,
    Found,
    RuntimeConnected,
    RuntimeLost,
)
from acekeeper.core.names import Slot
from acekeeper.errors import RuntimeUnavailable

from .private_bus import Job
from .quadlet_world import HOST, ID, START, WAY, World


async def test_what_runs_is_adopted(world: World) -> None:
    world.write_id()
    world.systemd.change(world.unit, active="active", invocation=START, main_pid=7)
    dying = Slot(HOST, world.slot.port + 1)
    world.systemd.change(dying.unit, active="deactivating", invocation=ID[:32], main_pid=8)
    world.systemd.change(Slot(HOST, world.slot.port + 2).unit, active="failed", invocation=START)
    runtime = await world.runtime()
    listing = await runtime.list()
    assert set(listing.found) == {
        Found(world.slot, START, ID),
        Found(dying, ID[:32], "", dying=True),
    }
    world.die(exit_status=137)
    assert await world.hear() == EngineDied(world.slot, START, "killed", "SIGKILL")


async def test_an_engine_found_can_be_stopped_by_its_start(world: World) -> None:
    world.systemd.change(world.unit, active="active", invocation=START, main_pid=7)
    runtime = await world.runtime()
    await runtime.stop(world.slot, START)  # restored from disk, and not yet listed
    assert world.systemd.count("StopUnit") == 1


async def test_an_adopted_start_that_fails_is_told_as_such(world: World) -> None:
    world.systemd.change(world.unit, active="activating", invocation=START, main_pid=7)
    runtime = await world.runtime()
    assert (await runtime.list()).found == (Found(world.slot, START, ""),)
    world.die(exit_status=125)
    died = await world.hear()
    assert isinstance(died, EngineDied)
    assert died.cause == "image"


async def test_an_adopted_start_that_got_ready_ends_as_an_engine(world: World) -> None:
    """Its status is the engine's then, and not Podman's."""
    world.systemd.change(world.unit, active="activating", invocation=START, main_pid=7)
    runtime = await world.runtime()
    await runtime.list()
    world.systemd.change(world.unit, active="active", main_pid=8)
    world.die(exit_status=125)
    assert await world.hear() == EngineDied(world.slot, START, "exited", "code 125")


async def test_a_death_during_the_listing_is_told_after_it(world: World) -> None:
    world.systemd.change(world.unit, active="active", invocation=START, main_pid=7)
    runtime = await world.runtime()

    def die_first(_: object) -> bool:
        world.die(exit_status=3)
        return False

    world.systemd.on_get = die_first
    assert (await runtime.list()).found == (Found(world.slot, START, ""),)
    assert await world.hear() == EngineDied(world.slot, START, "exited", "code 3")


async def test_environment_files_without_a_unit_are_removed(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    leftover = world.environment.with_name("1.env")
    leftover.touch()
    failed = Slot(HOST, 2)
    world.systemd.change(failed.unit, active="failed", invocation=ID[:32])
    leftover.with_name(failed.environment_file).touch()
    await runtime.list()
    assert list(world.environment.parent.iterdir()) == [world.environment]


async def test_the_file_of_a_start_under_way_is_kept(world: World) -> None:
    """Even if its unit is not loaded yet."""
    world.systemd.on_start = Job.reply
    runtime = await world.runtime()
    starting = asyncio.create_task(world.start(runtime))
    job = await world.systemd.jobs.get()
    assert (await runtime.list()).found == ()
    assert world.environment.exists()
    world.systemd.started(job.unit, START)
    job.removed()
    await starting


async def test_a_failed_unit_is_shown_for_a_while(world: World) -> None:
    world.systemd.change(world.unit, active="failed", invocation=START)
    runtime = await world.runtime()
    await runtime.list()
    world.clock.ahead = failed_units._SHOWN - 1
    await runtime.list()
    assert world.systemd.count("ResetFailedUnit") == 0
    world.clock.ahead = failed_units._SHOWN + 1
    await runtime.list()
    assert world.systemd.calls[-1] == ("ResetFailedUnit", (world.unit,))


async def test_a_world_that_cannot_be_seen_is_not_an_empty_one(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    world.systemd.refuses["ListUnitsByPatterns"] = ("org.freedesktop.DBus.Error.NoReply", "no")
    with pytest.raises(RuntimeUnavailable):
        await runtime.list()
    assert world.environment.exists()


async def test_a_lost_bus_is_told_and_what_happened_meanwhile_is_listed(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await world.systemd.close()
    await world.daemon.stop()
    assert isinstance(await world.hear(), RuntimeLost)
    with pytest.raises(RuntimeUnavailable):
        await runtime.list()

    # It died, and somebody started it again.
    unit = world.systemd.units[world.unit]
    world.systemd.units[world.unit] = replace(unit, invocation=ID[:32])
    await world.daemon.start()
    await world.systemd.open(world.daemon.address)
    assert await world.hear() == RuntimeConnected()
    assert (await runtime.list()).found == (
        Found(world.slot, ID[:32], "", build=world.build, way_out=WAY),
    )
    assert world.told.empty()


async def test_a_list_the_bus_was_lost_in_is_made_anew(world: World) -> None:
    """A call is repeated when it is there again, and what was known before is not any more."""
    runtime = await world.runtime()
    await world.start(runtime)
    other = Slot(HOST, world.slot.port + 1)
    world.systemd.change(other.unit, active="active", invocation=ID[:32], main_pid=8)

    def lose(_: object) -> bool:
        world.systemd.on_get = None
        runtime.lost("for a moment")
        return False

    world.systemd.on_get = lose
    found = {
        Found(world.slot, START, "", build=world.build, way_out=WAY),
        Found(other, ID[:32], ""),
    }
    assert set((await runtime.list()).found) == found


async def test_a_start_the_bus_was_lost_in_is_found_afterwards(world: World) -> None:
    world.systemd.on_start = Job.reply
    runtime = await world.runtime()
    starting = asyncio.create_task(world.start(runtime))
    await world.systemd.jobs.get()
    await world.systemd.close()
    with pytest.raises(RuntimeUnavailable):
        await starting
    assert world.environment.exists()
    assert isinstance(await world.hear(), RuntimeLost)

    await world.systemd.open(world.daemon.address)
    assert await world.hear() == RuntimeConnected()
    world.systemd.change(world.unit, active="active", invocation=START, main_pid=7)
    assert (await runtime.list()).found == (
        Found(world.slot, START, "", build=world.build, way_out=WAY),
    )
    assert world.environment.exists()


async def test_engines_go_on_when_we_close(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await runtime.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert world.systemd.count("StopUnit") == 0
    assert world.environment.exists()

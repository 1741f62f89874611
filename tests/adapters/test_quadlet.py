"""The quadlet runtime against a systemd that does as a test tells it, on a real bus."""

import asyncio
import os
import socket
import time
from asyncio import Queue
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from acekeeper.adapters import proc, quadlet
from acekeeper.adapters.podman import Podman
from acekeeper.adapters.quadlet import Quadlet
from acekeeper.adapters.systemd import Systemd
from acekeeper.core.facts import (
    EngineDied,
    EngineIdentified,
    EngineStarted,
    Fact,
    Found,
    RuntimeConnected,
    RuntimeLost,
)
from acekeeper.core.model import Now
from acekeeper.core.names import Ports, Slot
from acekeeper.errors import EngineFailed, PortTaken, RuntimeUnavailable

from .private_bus import NAME, Daemon, FakeSystemd, Job

HOST = "127.0.0.1"
LIMIT_S = 10.0
IMAGE = "ab" * 32
ID = "cd" * 32
START = f"{1:032x}"  # of the first job


class Clock:
    """Real time, which a test may move on."""

    ahead = 0.0

    def __call__(self) -> Now:
        return Now(time.time() + self.ahead, time.monotonic() + self.ahead)


def free_ports() -> Ports:
    with socket.socket() as a, socket.socket() as b, socket.socket() as c, socket.socket() as d:
        held = (a, b, c, d)
        for each in held:
            each.bind((HOST, 0))
        return Ports(*(each.getsockname()[1] for each in held))


class World:
    def __init__(self, daemon: Daemon, systemd: FakeSystemd, directory: Path) -> None:
        self.daemon = daemon
        self.systemd = systemd
        self.state_dir = directory / "state"
        self.runtime_dir = directory
        self.clock = Clock()
        self.told: Queue[Fact] = Queue()
        self.opened: list[Quadlet] = []
        self.ports = free_ports()
        self.slot = Slot(HOST, self.ports.http)
        self.unit = self.slot.unit
        self.environment = self.state_dir / "engines" / f"{self.ports.http}.env"

    async def runtime(self, start_within: float = LIMIT_S) -> Quadlet:
        runtime = Quadlet(
            HOST,
            f"sha256:{IMAGE}",
            self.state_dir,
            self.clock,
            Systemd(self.daemon.address),
            Podman(self.runtime_dir / "podman.sock"),
            start_within,
        )
        self.opened.append(runtime)
        await runtime.open(self.told.put_nowait)
        assert await self.hear() == RuntimeConnected()
        return runtime

    async def start(self, runtime: Quadlet) -> EngineStarted:
        async with asyncio.timeout(LIMIT_S):
            return await runtime.start(self.slot, self.ports)

    async def hear(self) -> Fact:
        async with asyncio.timeout(LIMIT_S):
            return await self.told.get()

    def write_id(self) -> None:
        (self.runtime_dir / f"engine@{self.ports.http}.cid").write_text(ID)

    def die(self, **values: object) -> None:
        """Its main process ends, then the unit."""
        end = {"main_pid": 0, "result": "exit-code", "exit_code": os.CLD_EXITED}
        self.systemd.change(self.unit, active="deactivating", **(end | values))
        self.systemd.change(self.unit, active="failed")

    async def released(self) -> None:
        """Lists until the environment file is gone, which only a signal removes while the unit
        is there."""
        async with asyncio.timeout(LIMIT_S):
            while self.environment.exists():
                await self.opened[-1].list()


@pytest.fixture
async def world(
    daemon: Daemon, systemd: FakeSystemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    world = World(daemon, systemd, tmp_path)
    yield world
    for runtime in world.opened:
        await runtime.close()


async def test_a_start_is_named_by_its_invocation(world: World) -> None:
    world.write_id()
    runtime = await world.runtime()
    assert await world.start(runtime) == EngineStarted(world.slot, START, ID)
    listing = await runtime.list()
    assert listing.found == (Found(world.slot, START, ID),)
    assert (listing.host, listing.boot) == (HOST, proc.boot_id())


async def test_the_environment_file_is_there_before_the_unit_is_started(world: World) -> None:
    written: list[tuple[str, int]] = []

    def start(job: Job) -> None:
        written.append((world.environment.read_text(), world.environment.stat().st_mode & 0o777))
        world.systemd._start(job)

    world.systemd.on_start = start
    await world.start(await world.runtime())
    http, https, p2p, api = world.ports
    assert written == [
        (
            f"ENGINE_IMAGE={IMAGE}\nHTTP_PORT={http}\nHTTPS_PORT={https}\nP2P_PORT={p2p}\n"
            f"API_PORT={api}\n",
            0o600,
        )
    ]


def orders() -> list[tuple[int, int]]:
    """Where the reply and the end of the job may come among the signals of a start that dies."""
    return list(combinations(range(6), 2)) + [(b, a) for a, b in combinations(range(6), 2)]


@pytest.mark.parametrize(("reply", "removed"), orders())
async def test_in_whatever_order_a_start_is_named_before_its_death_is_told(
    world: World, reply: int, removed: int
) -> None:
    def start(job: Job) -> None:
        change = world.systemd.change
        signals: list[Callable[[], None]] = [
            lambda: change(job.unit, active="activating", invocation=START, main_pid=7, job=1),
            lambda: change(job.unit, active="active"),
            lambda: change(job.unit, job=0),
            world.die,
        ]
        # systemd tells what a job did to its unit before its end.
        steps = dict(enumerate(signals[:2])) | {2 + removed: job.removed, 2 + reply: job.reply}
        rest = iter(signals[2:])
        for place in range(9):
            step = steps.get(place) or next(rest, None)
            if step is not None:
                step()

    world.systemd.on_start = start
    runtime = await world.runtime()
    # As a task, for its awaiter runs a turn later than it does.
    started = asyncio.create_task(world.start(runtime))
    started.add_done_callback(lambda done: world.told.put_nowait(done.result()))
    assert await world.hear() == EngineStarted(world.slot, START, "")
    assert await world.hear() == EngineDied(world.slot, START, "exited", "code 0")
    await world.released()


async def test_a_container_id_that_comes_late_is_told(world: World) -> None:
    runtime = await world.runtime()
    assert (await world.start(runtime)).container_id == ""
    world.write_id()
    world.systemd.change(world.unit)
    assert await world.hear() == EngineIdentified(world.slot, START, ID)
    assert (await runtime.list()).found == (Found(world.slot, START, ID),)


async def test_a_slot_has_one_engine(world: World) -> None:
    """Also while the first start is under way."""
    world.systemd.on_start = Job.reply
    runtime = await world.runtime()
    first = asyncio.create_task(world.start(runtime))
    job = await world.systemd.jobs.get()
    with pytest.raises(PortTaken, match="has an engine already"):
        await world.start(runtime)
    world.systemd.started(job.unit, START)
    job.removed()
    await first
    with pytest.raises(PortTaken, match="has an engine already"):
        await world.start(runtime)
    assert world.systemd.count("StartUnit") == 1


async def test_a_port_that_is_taken_is_not_reserved(world: World) -> None:
    runtime = await world.runtime()
    with (
        socket.create_server((HOST, world.ports.https)),
        pytest.raises(PortTaken, match=f"HTTPS port {world.ports.https} "),
    ):
        await world.start(runtime)
    assert not world.environment.exists()
    assert world.systemd.count("StartUnit") == 0


async def test_a_port_reserved_by_another_is_left_alone(world: World) -> None:
    runtime = await world.runtime()
    world.environment.write_text("theirs")
    with pytest.raises(PortTaken, match=str(world.environment)):
        await world.start(runtime)
    assert world.environment.read_text() == "theirs"


async def test_a_state_directory_that_cannot_be_written_fails_the_start(world: World) -> None:
    runtime = await world.runtime()
    world.environment.parent.rmdir()
    with pytest.raises(EngineFailed, match="cannot be made: No such file"):
        await world.start(runtime)


def failing(world: World, status: int, result: str = "exit-code") -> Callable[[Job], None]:
    def start(job: Job) -> None:
        job.reply()
        world.systemd.change(
            job.unit, active="activating", invocation=START, main_pid=7, job=job.number
        )
        world.die(result=result, exit_status=status)
        job.removed("failed")

    return start


@pytest.mark.parametrize(
    ("status", "result", "says"),
    [
        (125, "exit-code", "image or storage"),
        (126, "exit-code", "ports or network"),
        (127, "exit-code", "lacks a program"),
        (3, "exit-code", "code 3"),
        (0, "resources", "environment file"),
        (0, "timeout", "not ready"),
        (0, "protocol", "without saying"),
    ],
)
async def test_a_failed_start_says_why_and_leaves_nothing(
    world: World, status: int, result: str, says: str
) -> None:
    world.systemd.on_start = failing(world, status, result)
    runtime = await world.runtime()
    with pytest.raises(EngineFailed, match=says) as failed:
        await world.start(runtime)
    assert f"_SYSTEMD_USER_UNIT={world.unit}" in failed.value.hint
    assert not world.environment.exists()
    assert world.told.empty()
    assert (await runtime.list()).found == ()

    world.systemd.on_start = None
    assert (await world.start(runtime)).start == f"{2:032x}"


async def test_a_port_that_podman_found_taken_is_not_the_engines_fault(world: World) -> None:
    holders: list[socket.socket] = []

    def start(job: Job) -> None:
        holders.append(socket.create_server((HOST, world.ports.api)))
        failing(world, 126)(job)

    world.systemd.on_start = start
    runtime = await world.runtime()
    with pytest.raises(PortTaken, match=f"API port {world.ports.api} "):
        await world.start(runtime)
    holders[0].close()
    assert not world.environment.exists()


async def test_a_unit_that_systemd_does_not_know_is_named(world: World) -> None:
    world.systemd.refuses["StartUnit"] = (f"{NAME}.NoSuchUnit", f"Unit {world.unit} not found.")
    with pytest.raises(EngineFailed, match=f"{world.unit} not found"):
        await world.start(await world.runtime())
    assert not world.environment.exists()


async def test_a_start_does_not_fail_for_what_the_last_one_died_of(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    world.die(exit_status=3)
    await world.hear()
    await world.released()
    world.systemd.on_start = lambda job: job.run(job.reply, lambda: job.removed("dependency"))
    with pytest.raises(EngineFailed, match="its job was dependency"):
        await world.start(runtime)


async def test_a_start_that_takes_too_long_is_stopped(world: World) -> None:
    world.systemd.on_start = Job.reply
    world.systemd.change(world.unit, active="activating", invocation=START, main_pid=7, job=1)
    runtime = await world.runtime(start_within=0.05)
    with pytest.raises(EngineFailed, match=r"did not start it within 0\.05 s"):
        await world.start(runtime)
    assert world.systemd.calls[-1] == ("StopUnit", (world.unit, "replace"))
    assert not world.environment.exists()


async def test_a_start_somebody_cancels_keeps_its_file_until_the_unit_is_gone(
    world: World,
) -> None:
    """systemd reads it again for the commands that clear up."""

    def start(job: Job) -> None:
        job.reply()
        world.systemd.change(job.unit, active="activating", invocation=START, main_pid=7)
        world.systemd.change(job.unit, active="deactivating")
        job.removed("canceled")

    world.systemd.on_start = start
    runtime = await world.runtime()
    with pytest.raises(EngineFailed, match="systemd was asked to"):
        await world.start(runtime)
    assert world.environment.exists()
    world.systemd.change(world.unit, active="inactive", main_pid=0)
    await world.released()


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
    assert (died.slot, died.start, died.cause) == (world.slot, START, cause)
    assert detail in died.detail
    await world.released()
    assert world.told.empty()


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
    assert (await again).start == f"{2:032x}"


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
    assert died.start == START
    assert (await runtime.list()).found == (Found(world.slot, ID[:32], ""),)
    assert world.environment.exists()


async def test_a_failed_unit_is_shown_for_a_while(world: World) -> None:
    world.systemd.change(world.unit, active="failed", invocation=START)
    runtime = await world.runtime()
    await runtime.list()
    world.clock.ahead = quadlet._FAILED_SHOWN - 1
    await runtime.list()
    assert world.systemd.count("ResetFailedUnit") == 0
    world.clock.ahead = quadlet._FAILED_SHOWN + 1
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
    assert (await runtime.list()).found == (Found(world.slot, ID[:32], ""),)
    assert world.told.empty()


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
    assert (await runtime.list()).found == (Found(world.slot, START, ""),)
    assert world.environment.exists()


async def test_engines_go_on_when_we_close(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    await runtime.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert world.systemd.count("StopUnit") == 0
    assert world.environment.exists()

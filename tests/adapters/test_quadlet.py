"""Starts of the quadlet runtime, on a real bus."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from itertools import combinations

import msgspec
import pytest

from acekeeper.adapters import proc, quadlet
from acekeeper.core.build import Build
from acekeeper.core.facts import (
    EngineDied,
    EngineIdentified,
    EngineStarted,
    Found,
)
from acekeeper.errors import AddressGone, EngineFailed, PortTaken, RuntimeUnavailable, StartTimedOut

from .private_bus import NAME, FakeUnit, Job
from .quadlet_world import HOST, ID, IMAGE, START, START_S, WAY, World, pass_time
from .test_podman import FakePodman

ABSENT = "192.0.2.1"  # of a network that is set aside for examples


async def test_a_start_is_named_by_its_invocation(world: World) -> None:
    world.write_id()
    runtime = await world.runtime()
    assert await world.start(runtime) == EngineStarted(
        world.slot, START, ID, build=world.build, way_out=WAY
    )
    listing = await runtime.list()
    assert listing.found == (Found(world.slot, START, ID, build=world.build, way_out=WAY),)
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
            f"ENGINE_IMAGE={IMAGE}\nFINGERPRINT={world.build.fingerprint}\nHTTP_PORT={http}\nHTTPS_PORT={https}\nP2P_PORT={p2p}\n"
            f"API_PORT={api}\nHTTP_ADDRESSES={HOST}\n"
            f"HTTP_PUBLISH=--publish={HOST}:{http}:{http}/tcp\n"
            f"WAY_OUT={msgspec.json.encode(WAY).decode()}\n",
            0o600,
        )
    ]


async def test_a_start_has_a_log_of_its_own_and_leaves_the_one_before(world: World) -> None:
    logs = world.state_dir / "logs"
    name = f"{world.slot.container_name}.log"
    logs.mkdir(parents=True)
    (logs / name).write_text("of the one before")
    (logs / f"{name}.1").write_text("of an older one")
    await world.start(await world.runtime())
    assert {path.name: path.read_text() for path in logs.iterdir()} == {
        f"{name}.1": "of the one before"
    }


async def test_a_start_whose_log_cannot_be_made_fails_and_says_so(world: World) -> None:
    (world.state_dir).mkdir(exist_ok=True)
    (world.state_dir / "logs").write_text("no directory")
    with pytest.raises(EngineFailed, match="Its log cannot be made: "):
        await world.start(await world.runtime())
    assert not world.environment.exists()


async def test_an_engine_is_published_at_the_addresses_that_are_there_and_keeps_them(
    world: World,
) -> None:
    world.addresses = (HOST, ABSENT, "127.0.0.2")
    world.write_id()
    there = (HOST, "127.0.0.2")
    runtime = await world.runtime()
    assert await world.start(runtime) == EngineStarted(
        world.slot, START, ID, there, world.build, WAY
    )
    http = world.ports.http
    published = [f"--publish={address}:{http}:{http}/tcp" for address in there]
    assert f"HTTP_PUBLISH={' '.join(published)}\n" in world.environment.read_text()
    found = (Found(world.slot, START, ID, False, there, world.build, WAY),)
    assert (await runtime.list()).found == found
    world.addresses = (HOST,)
    assert (await (await world.runtime()).list()).found == found


async def test_of_an_engine_of_an_earlier_version_less_is_known(world: World) -> None:
    world.write_id()
    await world.start(await world.runtime())
    lines = world.environment.read_text().splitlines(keepends=True)
    later = ("HTTP_ADDRESSES=", "HTTP_PUBLISH=", "FINGERPRINT=", "WAY_OUT=")
    world.environment.write_text("".join(line for line in lines if not line.startswith(later)))
    assert (await (await world.runtime()).list()).found == (
        Found(world.slot, START, ID, build=Build(IMAGE)),
    )
    world.environment.unlink()
    assert (await (await world.runtime()).list()).found == (Found(world.slot, START, ID),)


async def test_what_the_file_says_of_the_way_out_may_be_anything(world: World) -> None:
    world.write_id()
    await world.start(await world.runtime())
    for broken in ("", "[[]]", "null", "[null,[1]]", "ÿ"):
        world.environment.write_text(f"WAY_OUT={broken}\n")
        assert (await (await world.runtime()).list()).found == (Found(world.slot, START, ID),)


async def test_the_way_out_of_the_host_is_told_before_anything_else(world: World) -> None:
    await world.runtime()
    assert world.ways_out == [WAY]


async def test_a_port_that_is_taken_at_one_of_the_addresses_is_not_reserved(world: World) -> None:
    world.addresses = (HOST, "127.0.0.2")
    runtime = await world.runtime()
    with (
        socket.create_server(("127.0.0.2", world.ports.http)),
        pytest.raises(PortTaken, match=f"HTTP port {world.ports.http} "),
    ):
        await world.start(runtime)
    assert not world.environment.exists()


async def test_an_address_that_goes_away_during_a_start_is_not_the_engines_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pasta ends over it, and the engine with it."""
    world.addresses = (HOST, ABSENT)
    monkeypatch.setattr(quadlet, "present", lambda wanted: wanted)
    monkeypatch.setattr(quadlet, "test", lambda *_: monkeypatch.undo())
    world.systemd.on_start = failing(world, 126)
    with pytest.raises(AddressGone, match=f"{ABSENT} is not an address of this host"):
        await world.start(await world.runtime())
    await world.released()


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
    assert await world.hear() == EngineStarted(
        world.slot, START, "", build=world.build, way_out=WAY
    )
    assert await world.hear() == EngineDied(world.slot, START, "exited", "code 0")
    await world.released()


async def test_a_container_id_that_comes_late_is_told(world: World) -> None:
    runtime = await world.runtime()
    assert (await world.start(runtime)).container_id == ""
    world.write_id()
    world.systemd.change(world.unit)
    assert await world.hear() == EngineIdentified(world.slot, START, ID)
    assert (await runtime.list()).found == (
        Found(world.slot, START, ID, build=world.build, way_out=WAY),
    )


async def test_a_container_id_that_no_change_told_is_found_by_the_next_list(world: World) -> None:
    runtime = await world.runtime()
    await world.start(runtime)
    assert (await runtime.list()).found == (
        Found(world.slot, START, "", build=world.build, way_out=WAY),
    )
    world.write_id()
    assert (await runtime.list()).found == (
        Found(world.slot, START, ID, build=world.build, way_out=WAY),
    )


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
    assert (await world.start(runtime)).incarnation == f"{2:032x}"


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
    def start(job: Job) -> None:
        job.reply()
        pass_time(START_S)

    world.systemd.on_start = start
    world.systemd.change(world.unit, active="activating", invocation=START, main_pid=7, job=1)
    runtime = await world.runtime(start_within=START_S)
    with pytest.raises(StartTimedOut, match="within the 5 s of PROVISION_TIMEOUT_S"):
        await world.start(runtime)
    assert world.systemd.calls[-1] == ("StopUnit", (world.unit, "replace"))
    assert not world.environment.exists()


async def test_the_wait_for_the_last_engine_is_part_of_the_start(world: World) -> None:
    runtime = await world.runtime(start_within=START_S)
    await world.start(runtime)
    world.systemd.change(world.unit, active="deactivating", main_pid=0, exit_code=os.CLD_EXITED)
    assert isinstance(await world.hear(), EngineDied)
    again = asyncio.create_task(world.start(runtime))
    await runtime.list()  # by then it waits
    pass_time(START_S)
    with pytest.raises(PortTaken, match="does not end"):
        await again
    assert world.systemd.count("StartUnit") == 1


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


async def test_without_podman_an_inspection_has_the_unit_and_says_what_is_missing(
    world: World,
) -> None:
    runtime = await world.runtime()
    unread = await runtime.inspect(world.slot, ID)
    assert unread.unit == world.unit
    assert "Podman has no socket" in (unread.unread or "")
    early = await runtime.inspect(world.slot, "")
    assert early.unread == "it has no container yet"
    for container_id in ("", ID):
        with pytest.raises(RuntimeUnavailable):
            await runtime.logs(world.slot, container_id, 10)


async def test_a_missing_image_is_said_before_a_start_fails_for_it(world: World) -> None:
    runtime = await world.runtime()
    assert await runtime.lacks() == ""  # nobody can be asked
    with FakePodman(world.runtime_dir / "podman.sock") as podman:
        thread = threading.Thread(target=podman.serve_forever, args=(0.01,))
        thread.start()
        podman.lost = True
        assert "is not on this host" in await runtime.lacks()
        podman.lost = False
        assert await runtime.lacks() == ""
        podman.lost = True
        world.systemd.on_start = failing(world, 125)
        with pytest.raises(EngineFailed, match=f"{IMAGE} is not on this host"):
            await world.start(runtime)
        assert IMAGE in await runtime.lacks()
        podman.shutdown()
        thread.join()


@pytest.mark.parametrize("fault", ["stopped", "removed"])
async def test_podmans_socket_is_started_again(world: World, fault: str) -> None:
    runtime = await world.runtime()
    with FakePodman(world.runtime_dir / "podman.sock"):
        world.systemd.units["podman.socket"] = FakeUnit(active="active")
        assert await runtime.unheard() == ""
        assert world.systemd.count("RestartUnit") == 0
        if fault == "stopped":
            world.systemd.units["podman.socket"] = FakeUnit(active="inactive")
        else:
            (world.runtime_dir / "podman.sock").unlink()
        assert await runtime.unheard() == ""
    [restart] = [body for name, body in world.systemd.calls if name == "RestartUnit"]
    assert restart == ("podman.socket", "replace")


async def test_podmans_socket_that_does_not_start_is_told(world: World) -> None:
    runtime = await world.runtime()
    world.systemd.refuses["RestartUnit"] = (f"{NAME}.UnitMasked", "Unit podman.socket is masked")
    told = await runtime.unheard()
    assert told.startswith("podman.socket does not start: systemd refused RestartUnit: Unit podman")
    assert told.endswith("`acekeeper doctor` says what to do")


@pytest.mark.parametrize(
    ("left", "says"), [((9, 1 << 20), ""), ((1 << 20, 99), ": it has no inodes left")]
)
async def test_a_file_system_that_starts_would_find_full_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, left: tuple[int, int], says: str
) -> None:
    runtime = await world.runtime()
    blocks, inodes = left
    there = os.statvfs_result(
        (1024, 1024, 1 << 20, blocks, blocks, 1 << 20, inodes, inodes, 0, 255)
    )
    with monkeypatch.context() as patched:
        patched.setattr("acekeeper.adapters.room.os.statvfs", lambda _path: there)
        assert await runtime.lacks() == f"{world.runtime_dir} is full{says}"
    assert await runtime.lacks() == ""

"""VPNs as units, and engines that join their networks, on a real bus."""

import os
import socket
from collections.abc import Callable

import msgspec
import pytest

from acekeeper.adapters import vpn_units
from acekeeper.adapters.quadlet import Quadlet
from acekeeper.core.facts import (
    EngineDied,
    EngineStarted,
    Found,
    RuntimeConnected,
    RuntimeLost,
    VpnEnded,
    VpnStarted,
)
from acekeeper.core.vpn import Behind
from acekeeper.errors import EngineFailed, RuntimeUnavailable

from .private_bus import Job
from .quadlet_world import HOST, ID, START, World

DE, CH = "vpn@de.service", "vpn@ch.service"
OF_DE = f"{0xDE:032x}"
AGAIN = f"{0xDE2:032x}"
CONTAINER = "de" * 32
BEHIND = Behind("de", OF_DE)


@pytest.fixture(autouse=True)
def named(world: World) -> None:
    world.vpns = ("de", "ch")


def write_id(world: World, container: str = CONTAINER, vpn: str = "de") -> None:
    (world.runtime_dir / f"vpn@{vpn}.cid").write_text(f"{container}\n")


async def with_de(world: World) -> Quadlet:
    """A runtime that knows of one VPN that runs."""
    write_id(world)
    world.systemd.change(DE, active="active", invocation=OF_DE, main_pid=7)
    runtime = await world.runtime()
    await runtime.list()
    assert await world.hear() == VpnStarted("de", OF_DE)
    assert await world.hear() == VpnEnded("ch")
    return runtime


async def test_a_list_tells_first_how_each_vpn_is(world: World) -> None:
    runtime = await with_de(world)
    write_id(world, "c0" * 32, "ch")
    world.systemd.units[CH] = world.systemd.units.pop(DE)  # no signal told
    await runtime.list()
    assert world.told.get_nowait() == VpnEnded("de")
    assert world.told.get_nowait() == VpnStarted("ch", OF_DE)
    assert world.told.empty()


async def test_the_start_and_the_end_of_a_vpn_are_told_at_once(world: World) -> None:
    await with_de(world)
    write_id(world, "c0" * 32, "ch")
    world.systemd.started(CH, START)
    assert await world.hear() == VpnStarted("ch", START)
    world.systemd.change(CH, active="deactivating")
    # Its other changes may be told again; its end comes once, and before it is inactive.
    while isinstance(fact := await world.hear(), VpnStarted):
        assert fact == VpnStarted("ch", START)
    assert fact == VpnEnded("ch", START, "systemd was asked to")
    world.systemd.change(CH, active="inactive", main_pid=0)
    world.systemd.change(DE, active="failed", main_pid=0, exit_code=os.CLD_EXITED, exit_status=137)
    assert await world.hear() == VpnEnded("de", OF_DE, "SIGKILL")


async def test_a_vpn_that_restarted_is_another_start(world: World) -> None:
    await with_de(world)
    world.systemd.change(DE, active="activating", invocation=AGAIN)
    assert await world.hear() == VpnEnded("de", OF_DE, "restarted")
    write_id(world, "df" * 32)
    world.systemd.change(DE, active="active")
    assert await world.hear() == VpnStarted("de", AGAIN)


async def test_units_of_other_names_are_nobodys(world: World) -> None:
    runtime = await with_de(world)
    for unit in ("vpn@fr.service", "vpn@.service", "openvpn@de.service"):
        world.systemd.started(unit, START)
    world.systemd.change(DE)
    assert await world.hear() == VpnStarted("de", OF_DE)
    assert (await runtime.list()).found == ()


async def test_a_signal_is_newer_than_the_list_during_which_it_came(world: World) -> None:
    """The list has seen it active, and the answer to its next question still says of which start:
    but it ended in between."""
    runtime = await with_de(world)

    def ends(_: object) -> bool:
        world.systemd.on_get = None
        world.systemd.change(DE, active="deactivating")
        return False

    world.systemd.on_get = ends
    await runtime.list()
    assert world.told.get_nowait() == VpnEnded("de", OF_DE, "systemd was asked to")
    assert world.told.get_nowait() == VpnEnded("ch")
    assert world.told.empty()


async def test_an_engine_joins_the_container_of_that_start(world: World) -> None:
    runtime = await with_de(world)
    world.write_id()
    written: list[list[str]] = []

    def start(job: Job) -> None:
        written.append(world.environment.read_text().splitlines())
        world.systemd._start(job)

    world.systemd.on_start = start
    assert await world.start(runtime, BEHIND) == EngineStarted(
        world.slot, START, ID, build=world.build
    )
    (lines,) = written
    assert f"ENGINE_NETWORK=container:{CONTAINER}" in lines
    assert "HTTP_PUBLISH=" in lines
    assert f"HTTP_ADDRESSES={HOST}" in lines
    assert f"P2P_PORT={world.ports.p2p}" in lines
    assert f"BEHIND={msgspec.json.encode(BEHIND).decode()}" in lines


async def test_the_forwarded_port_takes_the_place_of_the_slots_own(world: World) -> None:
    runtime = await with_de(world)
    await world.start(runtime, Behind("de", OF_DE, 43210))
    lines = world.environment.read_text().splitlines()
    assert "P2P_PORT=43210" in lines
    assert f"HTTP_PORT={world.ports.http}" in lines


async def test_which_vpn_an_engine_is_behind_is_known_to_the_next_acekeeper(world: World) -> None:
    behind = Behind("de", OF_DE, 43210)
    world.write_id()
    await world.start(await with_de(world), behind)
    found = Found(world.slot, START, ID, build=world.build, behind=behind)
    assert await adopted(world) == (found,)
    for broken in ("", "[]", '["de"]', "ÿ"):
        world.environment.write_text(f"BEHIND={broken}\n")
        assert await adopted(world) == (Found(world.slot, START, ID),)


async def adopted(world: World) -> tuple[Found, ...]:
    """What an acekeeper finds that starts now."""
    while not world.told.empty():
        world.told.get_nowait()
    return (await (await world.runtime()).list()).found


async def test_ports_that_the_vpn_holds_are_no_hindrance(world: World) -> None:
    runtime = await with_de(world)
    http, https, _, api = world.ports
    with (
        socket.create_server((HOST, http)),
        socket.create_server((HOST, https)),
        socket.create_server((HOST, api)),
    ):
        await world.start(runtime, BEHIND)


def no_unit(world: World) -> None:
    world.systemd.change(DE, active="failed", main_pid=0)


def another_start(world: World) -> None:
    world.systemd.change(DE, active="active", invocation=AGAIN)


def not_ready(world: World) -> None:
    world.systemd.change(DE, active="activating", invocation=OF_DE)


def no_container(world: World) -> None:
    (world.runtime_dir / "vpn@de.cid").unlink()


@pytest.mark.parametrize("meanwhile", [no_unit, another_start, not_ready, no_container])
async def test_no_engine_starts_for_another_start_of_its_vpn(
    world: World, meanwhile: Callable[[World], None]
) -> None:
    runtime = await with_de(world)
    meanwhile(world)
    with pytest.raises(EngineFailed, match="The VPN de ended") as failed:
        await world.start(runtime, BEHIND)
    assert failed.value.cause == "vpn"
    assert f"_SYSTEMD_USER_UNIT={DE}" in failed.value.hint
    assert world.systemd.count("StartUnit") == 0
    assert not world.environment.exists()


@pytest.mark.parametrize("status", [125, 126])
async def test_a_start_that_fails_because_its_vpn_ended_is_the_vpns_fault(
    world: World, status: int
) -> None:
    runtime = await with_de(world)

    def start(job: Job) -> None:
        job.reply()
        world.systemd.change(
            job.unit, active="activating", invocation=START, main_pid=7, job=job.number
        )
        no_unit(world)
        world.die(exit_status=status)
        job.removed("failed")

    world.systemd.on_start = start
    with pytest.raises(EngineFailed, match="The VPN de ended") as failed:
        await world.start(runtime, BEHIND)
    assert failed.value.cause == "vpn"
    await world.released()


async def test_a_start_that_fails_while_its_vpn_runs_has_a_cause_of_its_own(world: World) -> None:
    runtime = await with_de(world)

    def start(job: Job) -> None:
        job.reply()
        world.systemd.change(
            job.unit, active="activating", invocation=START, main_pid=7, job=job.number
        )
        world.die(exit_status=126)
        job.removed("failed")

    world.systemd.on_start = start
    with (
        socket.create_server((HOST, world.ports.http)),  # the VPN's
        pytest.raises(EngineFailed, match="ports or network") as failed,
    ):
        await world.start(runtime, BEHIND)
    assert failed.value.cause == "network"


async def test_the_end_of_a_vpn_is_told_before_those_of_its_engines(world: World) -> None:
    runtime = await with_de(world)
    await world.start(runtime, BEHIND)
    world.systemd.change(DE, active="deactivating", main_pid=0)
    world.die(exit_status=137)
    facts = [await world.hear() for _ in range(2)]
    assert [type(fact) for fact in facts] == [VpnEnded, EngineDied]


async def test_after_the_bus_was_away_a_list_tells_of_each_anew(world: World) -> None:
    runtime = await with_de(world)
    await world.systemd.close()
    await world.daemon.stop()
    assert isinstance(await world.hear(), RuntimeLost)
    with pytest.raises(RuntimeUnavailable):
        await runtime.list()
    await world.daemon.start()
    await world.systemd.open(world.daemon.address)
    assert await world.hear() == RuntimeConnected()
    await runtime.list()
    assert await world.hear() == VpnStarted("de", OF_DE)
    assert await world.hear() == VpnEnded("ch")


async def test_the_traffic_of_a_start_is_what_its_tunnel_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vpn_units, "_TUNNEL", "lo")  # this test is a process of the container
    vpns = (await with_de(world))._vpns
    assert vpns is not None
    file = world.runtime_dir / "vpn@de.pid"
    assert vpns.traffic("de", OF_DE) is None
    file.write_text(str(os.getpid()))
    before = vpns.traffic("de", OF_DE)
    with socket.create_server((HOST, 0)) as server:
        socket.create_connection(server.getsockname()).close()
    after = vpns.traffic("de", OF_DE)
    assert before is not None
    assert after is not None
    assert after[0] > before[0]
    assert after[1] > before[1]
    assert vpns.traffic("de", AGAIN) is None
    assert vpns.traffic("ch", "") is None
    monkeypatch.setattr(vpn_units, "_TUNNEL", "tun-that-is-not-there")
    assert vpns.traffic("de", OF_DE) is None
    file.write_text("0")  # of no process
    assert vpns.traffic("de", OF_DE) is None

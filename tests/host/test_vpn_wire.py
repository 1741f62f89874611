"""Engines behind VPNs reach the world through these alone: a look at what is on the host's cable,
whatever is killed, stopped, started or deployed."""

import random
import socket
from collections.abc import Callable, Iterator

import pytest

from .deploying import as_user, engine_pid, engines
from .lab import Lab
from .vpn.deployed import NAMES, PASTA, Vpns, deployed, nothing_leaks
from .vpn.provider import WORLD
from .vpn.wire import Wire, watching
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

MIN_REPLICAS = 4
SETTINGS = {
    "MIN_REPLICAS": MIN_REPLICAS,
    "MAX_REPLICAS": 12,
    "AUTOSCALE_INTERVAL_S": 2,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
}
SETTINGS_ALONE = ("--tags", "settings")
NEAR = 8099  # a port of this machine, which is another one on the host's network
WITHOUT = "podman run --detach --name without --network pasta --userns nomap --pids-limit 0"
MANY = 100  # packets
KILLS = 50


@pytest.fixture(scope="module")
def behind(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpns]:
    directory = tmp_path_factory.mktemp("wire")
    with deployed(lab, 141, directory, SETTINGS, (0, 0)) as vpns:
        yield vpns


@pytest.fixture
def vpns(behind: Vpns) -> Vpns:
    until(behind.is_whole)
    return behind


@pytest.fixture
def wire(vpns: Vpns) -> Iterator[Wire]:
    with nothing_leaks(vpns) as wire:
        yield wire


@pytest.fixture
def near(lab: Lab) -> Iterator[tuple[str, int]]:
    with socket.create_server((lab.address, NEAR)) as server:
        yield server.getsockname()


def test_an_engine_without_a_vpn_is_seen(vpns: Vpns, tell: Callable[[str], None]) -> None:
    with watching(vpns.host, vpns.provider) as wire:
        as_user(vpns.host, f"{WITHOUT} {vpns.deployer.variables['acekeeper_image']}")
        took = until(lambda: sum(wire.seen().values()) > MANY)
        seen = wire.seen()
        as_user(vpns.host, "podman rm --force --time 0 without")
    assert any(f" {WORLD} " in to for to in seen)
    assert any(f" {vpns.lab.address} " in to for to in seen)
    count = sum(seen.values())
    tell(f"an engine without a VPN put {count} packets on the wire in {took:.1f} s")


def test_engines_reach_the_world_by_their_vpns_and_nobody_near(
    vpns: Vpns, wire: Wire, near: tuple[str, int]
) -> None:
    vpns.provider.callers.clear()
    publics = {vpn.public for vpn in vpns.provider.sold.values()}
    until(lambda: vpns.provider.callers == publics)
    ports = [min(found) for found in vpns.behind().values()]
    assert all(vpns.reaches(port, WORLD, 80) for port in ports)
    assert not any(vpns.reaches(port, *near) for port in ports)
    assert [vpns.shown(name)["public_ip"] for name in NAMES] == sorted(publics)

    for name in NAMES:
        vpns.signal(name, "USR1")
    until(lambda: vpns.states() == ["lost"] * len(NAMES))
    assert vpns.listed() == []
    assert vpns.status()["provisioning"]["can_provision"] is False
    for port in ports:
        assert not vpns.reaches(port, *near)
        assert not vpns.reaches(port, WORLD, 80)
    for name in NAMES:
        vpns.signal(name, "USR2")
    until(vpns.is_whole)
    assert {*ports} <= {*vpns.listed()}  # none was replaced


def kill_vpns(vpns: Vpns) -> None:
    for name in NAMES:
        vpns.kill(name)


def kill_engines(vpns: Vpns) -> None:
    vpns.units("kill --signal KILL 'engine@*'")


def kill_networks(vpns: Vpns) -> None:
    """Nothing mends this but a start of the VPN."""
    pids = [engine_pid(vpns.host, f"vpn@{name}.service", PASTA) for name in NAMES]
    vpns.host.ssh(f"kill -9 {' '.join(map(str, pids))}")
    until(lambda: vpns.listed() == [])
    vpns.units("restart 'vpn@*'")


def restart_vpns(vpns: Vpns) -> None:
    vpns.units("restart 'vpn@*'")


def stop_all(vpns: Vpns) -> None:
    vpns.units("stop acekeeper.service 'engine@*' 'vpn@*'")
    assert engines(vpns.host) == {}
    vpns.units(f"start acekeeper.service {' '.join(f'vpn@{name}' for name in NAMES)}")


def reboot(vpns: Vpns) -> None:
    vpns.host.reboot()


def deploy(vpns: Vpns) -> None:
    vpns.deployer.deploy()


@pytest.mark.parametrize(
    "does",
    [kill_vpns, kill_engines, kill_networks, restart_vpns, stop_all, reboot, deploy],
    ids=lambda does: str(does.__name__),
)
def test_nothing_leaves_another_way(vpns: Vpns, wire: Wire, does: Callable[[Vpns], None]) -> None:
    before = engines(vpns.host).items()
    does(vpns)
    if does is not deploy:
        until(lambda: not before & engines(vpns.host).items())
    until(vpns.is_whole)
    vpns.provider.callers.clear()
    until(lambda: vpns.provider.callers != set())


@pytest.mark.long
def test_vpns_are_killed_at_any_moment(vpns: Vpns, wire: Wire, tell: Callable[[str], None]) -> None:
    chances = random.Random(0)
    for _ in range(KILLS):
        name = chances.choice(NAMES)
        until(lambda name=name: vpns.pid(name) != 0)  # type: ignore[misc]
        vpns.host.ssh(f"sleep {chances.uniform(0, 6):.2f}; kill -9 {vpns.pid(name)}", check=False)
    took = until(vpns.is_whole)
    tell(f"after {KILLS} kills of VPNs all was well in {took:.0f} s, and nothing on the wire")

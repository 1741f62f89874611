"""Engines and the host's way out: what comes late, what changes, and what does not matter."""

import shlex
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from . import deploying
from .asking import KEY, Asked
from .deploying import as_user, engines
from .lab import Host, Lab
from .lab.command import run
from .viewing import Viewing
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

SETTINGS: dict[str, object] = {
    "MIN_REPLICAS": 2,
    "MAX_REPLICAS": 9,
    "AUTOSCALE_INTERVAL_S": 2,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
}
DHCP_LATE_S = 20.0
SETTLES_S = 60.0  # what a change has to last
# Of a network that is set aside for examples.
PORT = 8099
IPV6, GATEWAY6 = "2001:db8::5", "2001:db8::1"
ITS_NETWORK = "/etc/systemd/network/10-host0.network"
APPLY = "networkctl reload; networkctl reconfigure host0"
ENV_FILES = "/var/lib/acekeeper/.local/state/acekeeper/engines/*.env"
# In an engine's container.
CONNECT = "import socket; socket.create_connection(('{}', {}), 5)"
LOOK_UP = "import socket; socket.getaddrinfo('acekeeper.example', 80)"


@dataclass(frozen=True)
class Networked(Asked):
    lab: Lab

    def python(self, port: int, program: str) -> bool:
        """Whether it succeeds in the container of an engine."""
        command = f"cd / && sudo -u acekeeper podman exec engine-{port} python3 -c"
        return self.host.ssh(f"{command} {shlex.quote(program)}", check=False).returncode == 0

    def gets_out(self, port: int) -> bool:
        return self.python(port, CONNECT.format(self.outside, PORT))

    def all_get_out(self) -> bool:
        ports = self.listed()
        return len(ports) >= 2 and all(map(self.gets_out, ports))

    def gateway(self, last: int = 254) -> str:
        """254 or 253: both are this machine."""
        return f"{self.lab.address.rpartition('.')[0]}.{last}"

    @property
    def outside(self) -> str:
        """This machine, by the default route alone."""
        return self.far(1)

    @property
    def nameservers(self) -> tuple[str, str]:
        return self.far(53), self.far(54)

    def far(self, last: int) -> str:
        """Of this lab, in a network that is set aside for tests, and not the hosts'."""
        return f"198.19.{self.lab.address.split('.')[2]}.{last}"

    def write(self, network: str) -> None:
        """That of the host, from its next boot on, or once it is applied."""
        text = f"[Match]\nName=host0\n\n[Network]\nAddress={self.host.address}/24\n{network}"
        self.host.ssh(f"cat > {ITS_NETWORK}", stdin=text)

    def at_home(self) -> dict[str, str]:
        """A default route, one nameserver, and engines that started with them."""
        self.write(f"LinkLocalAddressing=no\nGateway={self.gateway()}\n")
        self.name(self.nameservers[0])
        self.host.ssh(APPLY)
        until(lambda: self.degraded() == [] and len(self.listed()) >= 2 and self.all_are_at_home())
        return engines(self.host)

    def all_are_at_home(self) -> bool:
        """By what they were started with: acekeeper may not have seen yet how the host changed."""
        ways = self.host.ssh(f"grep -h WAY_OUT {ENV_FILES}").stdout.splitlines()
        home = (f'["{self.gateway()}",', f'["{self.nameservers[0]}"]')
        return all(part in way for way in ways for part in home)

    def name(self, nameserver: str) -> None:
        self.host.ssh("cat > /etc/resolv.conf", stdin=f"nameserver {nameserver}\n")

    def stay(self, started: dict[str, str], seconds: float) -> None:
        """All the engines, for so long, by the host's clock and not by ours."""
        now = self.happened_at()
        until(lambda: self.happened_at() >= now + seconds and engines(self.host) == started)

    def happened_at(self) -> float:
        return float(self.host.ssh("cut -d' ' -f1 /proc/uptime").stdout)


@pytest.fixture(scope="module")
def networked(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networked]:
    host = lab.up(26)
    bridge = host.name.rpartition("-")[0]
    networked = Networked(host, lab)
    for address in (networked.outside, *networked.nameservers, networked.gateway(253)):
        run("ip", "address", "replace", f"{address}/32", "dev", bridge)
    deploying.deploy(host, tmp_path_factory.mktemp("deployed"), SETTINGS, KEY)
    with socket.create_server((networked.outside, PORT), backlog=128):
        yield networked
    lab.down(26)


@pytest.fixture
def dhcp(lab: Lab) -> Iterator[Host]:
    """A host that gives leases with a default route once it is told to."""
    server = lab.up(27)
    subnet = lab.address.rpartition(".")[0]
    server.ssh(
        f"cat >> {ITS_NETWORK}",
        stdin="DHCPServer=yes\n\n[DHCPServer]\nPoolOffset=100\nPoolSize=20\n"
        f"DefaultLeaseTimeSec=120\nRouter={subnet}.254\nEmitDNS=no\nEmitNTP=no\n",
    )
    yield server
    lab.down(27)


def test_engines_wait_for_a_dhcp_server_that_is_late(networked: Networked, dhcp: Host) -> None:
    host = networked.host
    networked.at_home()
    networked.write("LinkLocalAddressing=no\nDHCP=ipv4\n")
    host.reboot()
    booted = time.monotonic()
    until(lambda: any("engines wait for it" in text for text in networked.degraded()))
    assert host.ssh("ip route show default").stdout == ""
    doctor = as_user(host, "/opt/acekeeper/current/bin/acekeeper doctor", check=False)
    assert "this host has no default route of IPv4" in doctor
    while time.monotonic() < booted + DHCP_LATE_S:
        assert engines(host) == {}
    dhcp.ssh(APPLY)
    until(lambda: "proto dhcp" in host.ssh("ip route show default").stdout)
    until(networked.all_get_out)
    started = engines(host)
    [absent, *_] = networked.log("network_absent")
    assert networked.log("network_changed")[0]["ts"] > absent["ts"]
    assert networked.degraded() == []
    # A lease that is renewed is the same way out.
    host.ssh("networkctl renew host0")
    host.ssh("networkctl forcerenew host0", check=False)
    assert networked.degraded() == []
    assert engines(host) == started


@pytest.mark.long
def test_engines_that_started_with_ipv6_alone_are_replaced_once_there_is_ipv4(
    networked: Networked,
) -> None:
    host = networked.host
    networked.at_home()
    networked.write(f"Address={IPV6}/64\nGateway={GATEWAY6}\n")
    host.reboot()
    until(lambda: len(networked.listed()) >= 2)  # after a minute
    ports = networked.listed()
    assert networked.degraded() == []
    assert not any(map(networked.gets_out, ports))
    host.ssh(f"ip route add default via {networked.gateway()}")
    until(lambda: any("started with another" in t for t in networked.degraded()))
    assert not any(map(networked.gets_out, ports))  # that it came changes nothing in them
    until(lambda: networked.degraded() == [])
    assert networked.all_get_out()
    assert not {*ports} & {*networked.listed()}


@pytest.mark.long
def test_another_default_route_replaces_engines_but_those_that_play(networked: Networked) -> None:
    host = networked.host
    before = networked.at_home()
    with Viewing(host, KEY) as viewing:
        [begun] = viewing.do("begin", 1)
        plays = f"engine@{begun['port']}.service"
        until(lambda: len(networked.listed()) >= 3)
        before = engines(host)
        # None of this is the default route.
        host.ssh(
            "ip link add docker0 type bridge && ip link set docker0 up"
            " && ip address add 172.17.0.1/16 dev docker0"
            " && ip tuntap add tun0 mode tun && ip link set tun0 up"
            " && ip address add 10.9.0.2/24 dev tun0 && ip route add 10.9.0.0/16 dev tun0"
            " && ip route add default dev tun0 table 51820"
        )
        host.ssh("networkctl renew host0", check=False)
        networked.stay(before, SETTLES_S + 10)
        assert networked.degraded() == []
        host.ssh(f"ip route replace default via {networked.gateway(253)} proto static")
        until(lambda: any("started with another" in text for text in networked.degraded()))
        until(lambda: [*({*before.items()} & {*engines(host).items()})] == [(plays, before[plays])])
        assert viewing.do("playing") == [True]
        assert ["this host has now: 1;" in text for text in networked.degraded()] == [True]
        reasons = [entry["data"] for entry in networked.log("engine_draining")]
        assert {"reason": "network_changed"} in reasons
        assert viewing.do("leave") == [True]
    until(lambda: networked.degraded() == [])
    assert not {*before.items()} & {*engines(host).items()}
    assert networked.all_get_out()
    host.ssh("ip link delete docker0; ip link delete tun0")


@pytest.mark.long
def test_engines_ask_a_new_nameserver(networked: Networked) -> None:
    networked.at_home()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as old,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as new,
    ):
        for nameserver, at in zip((old, new), networked.nameservers, strict=True):
            nameserver.bind((at, 53))
            nameserver.setblocking(False)

        def asks(port: int, nameserver: socket.socket) -> bool:
            networked.python(port, LOOK_UP)
            try:
                return b"acekeeper" in nameserver.recv(512)
            except BlockingIOError:
                return False

        [first, *_] = ports = networked.listed()
        assert asks(first, old)
        networked.name(networked.nameservers[1])
        until(lambda: any("started with another" in text for text in networked.degraded()))
        assert not asks(first, new)
        until(lambda: networked.degraded() == [])
        [now, *_] = others = networked.listed()
        assert not {*ports} & {*others}
        assert asks(now, new)

"""How the host gets out, as a kernel tells it: that of a network namespace made for the test."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from acekeeper.adapters import way_out
from acekeeper.core.way_out import WayOut

LIMIT_S = 30.0
_UNSHARE = ("unshare", "--user", "--map-root-user", "--net")

# Runs each line it reads in a shell, and answers with what a look finds then. `watch` waits for
# what is told without a look.
_INSIDE = """
import asyncio, subprocess, sys
from msgspec.json import encode
from acekeeper.adapters.way_out import Watch, look

async def watched(command):
    told = asyncio.get_running_loop().create_future()
    watch = Watch(told.set_result)
    subprocess.run(command, shell=True, check=True)
    way = await told
    watch.close()
    return way

for line in sys.stdin:
    if line.startswith("watch "):
        way = asyncio.run(watched(line.removeprefix("watch ")))
    else:
        subprocess.run(line, shell=True, check=True)
        way = look()
    print(encode(way.route).decode(), flush=True)
"""


def why_none() -> str:
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    tried = subprocess.run([*_UNSHARE, "ip", "link"], capture_output=True, check=False)
    return tried.stderr.decode()


pytestmark = pytest.mark.skipif(bool(why := why_none()), reason=why)


class Net:
    """A network namespace with one device, eth0."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-c", _INSIDE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.run("ip link add eth0 type bridge; ip link set eth0 up")
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def run(self, command: str) -> list[Any] | None:
        """The default route after that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        said: list[Any] | None = json.loads(self._process.stdout.readline())
        return said


@pytest.fixture
def net() -> Iterator[Net]:
    with Net() as net:
        yield net


def test_a_default_route_has_a_gateway_a_device_and_a_source(net: Net) -> None:
    assert net.run("ip address add 192.0.2.5/24 dev eth0") is None
    first = ["192.0.2.1", "eth0", "192.0.2.5", True]
    assert net.run("ip route add default via 192.0.2.1") == first
    assert net.run("ip address add 192.0.2.4/24 dev eth0") == first  # it is secondary
    assert net.run("ip address add 10.0.0.1/8 dev eth0") == first  # not of the gateway's network
    other = ["192.0.2.2", "eth0", "192.0.2.4", True]
    assert net.run("ip route replace default via 192.0.2.2 src 192.0.2.4") == other
    assert net.run("ip route delete default") is None


def test_the_route_of_the_lowest_metric_is_the_one_that_is_used(net: Net) -> None:
    net.run("ip address add 192.0.2.5/24 dev eth0; ip route add default via 192.0.2.1 metric 200")
    best = ["192.0.2.2", "eth0", "192.0.2.5", True]
    assert net.run("ip route add default via 192.0.2.2 metric 100") == best
    assert net.run("ip route add default via 192.0.2.3 metric 300") == best


def test_what_vpns_and_bridges_add_changes_nothing(net: Net) -> None:
    net.run("ip address add 192.0.2.5/24 dev eth0")
    way = net.run("ip route add default via 192.0.2.1 metric 100")
    for command in (
        "ip link add docker0 type bridge; ip link set docker0 up",
        "ip address add 172.17.0.1/16 dev docker0",
        "ip tuntap add tun0 mode tun; ip link set tun0 up; ip address add 10.9.0.2/24 dev tun0",
        "ip route add 0.0.0.0/1 via 10.9.0.1; ip route add 128.0.0.0/1 via 10.9.0.1",
        "ip route add default dev tun0 table 51820; ip rule add table 51820",
        "ip route add default via 10.9.0.1 metric 1",  # as NetworkManager gives it to a VPN
        "ip route add unreachable default metric 2",
    ):
        assert net.run(command) == way, command
    assert net.run("ip route delete default via 192.0.2.1") == [
        "10.9.0.1",
        "tun0",
        "10.9.0.2",
        True,
    ]


def test_ipv6_counts_where_there_is_no_other_and_by_a_lasting_address(net: Net) -> None:
    net.run("ip address add 2001:db8::9/64 dev eth0 nodad preferred_lft 0")  # deprecated
    net.run("ip address add 2001:db8::5/64 dev eth0 nodad")
    way = net.run("ip route add default via fe80::1 dev eth0")
    assert way == ["fe80::1", "eth0", "2001:db8::5", False]
    net.run("ip address add 192.0.2.5/24 dev eth0")
    ipv4 = net.run("ip route add default via 192.0.2.1")
    assert ipv4 == ["192.0.2.1", "eth0", "192.0.2.5", True]


def test_a_lease_that_is_renewed_changes_nothing(net: Net) -> None:
    net.run("ip address add 192.0.2.5/24 dev eth0 valid_lft 100 preferred_lft 100")
    way = net.run("ip route add default via 192.0.2.1 proto dhcp src 192.0.2.5")
    renewed = "ip address change 192.0.2.5/24 dev eth0 valid_lft 600 preferred_lft 600"
    assert net.run(renewed) == way
    assert net.run("ip route replace default via 192.0.2.1 proto dhcp src 192.0.2.5") == way


def test_a_device_may_be_the_way_itself(net: Net) -> None:
    net.run("ip address add 192.0.2.5/32 dev eth0")
    assert net.run("ip route add default dev eth0") == ["", "eth0", "192.0.2.5", True]


def test_a_change_is_told_without_a_look(net: Net) -> None:
    net.run("ip address add 192.0.2.5/24 dev eth0")
    way = net.run("watch ip route add default via 192.0.2.1")
    assert way == ["192.0.2.1", "eth0", "192.0.2.5", True]
    assert net.run("watch ip route delete default") is None


async def test_a_watch_that_is_closed_tells_nothing() -> None:
    told: list[WayOut] = []
    watch = way_out.Watch(told.append)
    watch._changed()  # as if the kernel had said so
    watch.close()
    assert watch._due is not None
    assert watch._due.cancelled()
    assert told == []


@pytest.mark.parametrize(
    ("text", "nameservers"),
    [
        ("nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example\n", "192.0.2.53 192.0.2.54"),
        ("nameserver 2001:db8::53\nnameserver 192.0.2.53\n", "192.0.2.53"),
        ("nameserver 2001:db8::53\nnameserver fe80::1%eth0\n", "2001:db8::53 fe80::1%eth0"),
        ("# nameserver 192.0.2.1\n;x\nnameserver\nnameserver here\n\0", ""),
        ("options ndots:1", ""),
    ],
)
def test_nameservers_are_those_of_ipv4_or_else_of_ipv6(
    text: str, nameservers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way_out, "_RESOLV_CONF", tmp_path / "resolv.conf")
    assert way_out.look().nameservers == ()
    (tmp_path / "resolv.conf").write_text(text)
    assert way_out.look().nameservers == tuple(nameservers.split())


def test_nothing_is_said_of_what_the_kernel_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_out, "_ROUTES", 9999)  # no such question
    assert way_out.look().route is None

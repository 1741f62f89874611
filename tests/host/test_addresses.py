"""Engines at more than loopback: who reaches them, who does not, and what becomes of them when the
addresses change."""

import shlex
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import pytest

from ..monitoring.commands import blocks
from . import deploying
from .asking import KEY, Asked
from .deploying import Deployer, as_user, engines
from .engine_host import ENVIRONMENT_FILES
from .lab import Lab
from .viewing import Viewing
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

LAN = "192.0.2.5"  # of a network that is set aside for examples
LANS = "192.0.2.0/24"
LAN_ABSENT = [
    f"{setting}: {LAN} is not an address of this host (yet)"
    for setting in ("GATEWAY_HOST", "ENGINE_HOST")
]
TELEVISION, STRANGER = "192.0.2.9", "203.0.113.9"  # the one of LANS, and the other not
BRIDGES = "10.88.0.0/15"  # of Podman's first networks, of root and of a user
GATEWAY_PORT = 6878
SETTINGS: dict[str, object] = {
    "MIN_REPLICAS": 2,
    "MAX_REPLICAS": 9,
    "AUTOSCALE_INTERVAL_S": 2,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
    "GATEWAY_IDLE_S": 1,  # players that are gone are soon forgotten
}
TABLE = "nft list table inet acekeeper"
FIREWALL = (
    "/etc/acekeeper/firewall.nft"
    " /etc/systemd/system/acekeeper-firewall.service /etc/systemd/system/nftables.service.d"
)
SETTINGS_ALONE = ("--tags", "settings")
A_BRIDGE = "ip link add lan0 type bridge && ip link set lan0 up"
CONTENT = "0123456789abcdef0123456789abcdef01234567"
# A player: it follows the redirects, and takes some of the picture. A container has no curl.
PLAY = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as picture:
    packets = picture.read(188 * 1000)
    print(picture.url.split("/")[2], len(packets), *{*packets[::188]})
"""


# From an address; it fails if nobody answers.
CONNECT = """
import socket, sys
to, port, own = sys.argv[1:]
socket.create_connection((to, int(port)), 5, (own, 0)).close()
"""


@dataclass(frozen=True)
class Opened(Asked):
    deployer: Deployer

    def published(self, port: int) -> set[str]:
        """Where somebody listens for it."""
        listening = self.host.ssh("ss -Hltn | awk '{print $4}'").stdout.split()
        return {at.rpartition(":")[0] for at in listening if at.endswith(f":{port}")}

    def all_at(self, *addresses: str) -> bool:
        ports = self.listed()
        return len(ports) >= 2 and all(self.is_at(port, *addresses) for port in ports)

    def is_at(self, port: int, *addresses: str) -> bool:
        return self.published(port) == {*addresses}

    def play(self, address: str, within: str = "") -> int:
        """The port of the engine that the gateway at this address gave, which is at this address
        too. `within`: a command that runs another in some surroundings."""
        url = f"http://{address}:{GATEWAY_PORT}/ace/getstream?id={CONTENT}"
        player = f"{within} python3 -c {shlex.quote(PLAY)} '{url}'"
        said = self.host.ssh(f"cd / && {player}", timeout_s=120).stdout.split()
        engine, _, port = said[0].partition(":")
        assert (engine, said[1:]) == (address, ["188000", f"{0x47}"])
        return int(port)

    def container(self) -> str:
        """A command that runs another in a container on a bridge."""
        image = self.deployer.variables["acekeeper_image"]
        options = "--rm --network=bridge --pids-limit=0"  # the lab's hosts cannot limit them
        return f"podman run {options} --entrypoint= {image}"

    def reaches(self, port: int) -> bool:
        """Whether this machine does, which is another one on the host's network."""
        try:
            socket.create_connection((self.host.address, port), timeout=3).close()
        except TimeoutError:  # dropped; nobody refused it
            return False
        return True

    def asked(self, port: int = GATEWAY_PORT) -> int:
        """What the gateway answers to this machine."""
        gateway = HTTPConnection(self.host.address, port, timeout=60)
        with closing(gateway):
            gateway.request("GET", "/webui/api/service?method=get_version")
            return gateway.getresponse().status

    def connects(self, port: int, own: str) -> bool:
        """Whether the television does, from this address of its own."""
        connect = f"ip netns exec tv python3 -c {shlex.quote(CONNECT)} {LAN} {port} {own}"
        done = self.host.ssh(connect, check=False)
        assert done.returncode == 0 or "TimeoutError" in done.stderr
        return done.returncode == 0

    def change(self, **settings: object) -> None:
        before = self.deployer.variables["acekeeper_settings"]
        assert isinstance(before, dict)
        self.deployer.variables["acekeeper_settings"] = before | settings
        self.deployer.deploy(*SETTINGS_ALONE)


@pytest.fixture(scope="module")
def opened(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    host = lab.up(25)
    # Beside the address it has another one comes and goes.
    host.ssh(A_BRIDGE)
    both = f"{host.address},{LAN}"
    addresses = {"ENGINE_HOST": both, "GATEWAY_HOST": both, "GATEWAY_ALLOW": f"{BRIDGES},{LANS}"}
    directory = tmp_path_factory.mktemp("deployed")
    deployer = deploying.deploy(host, directory, SETTINGS | addresses, KEY)
    host.ssh("apt-get -qq install --yes --no-install-recommends netavark", timeout_s=600)
    yield Opened(host, deployer)
    deployer.play("uninstall.yml")
    assert host.ssh(TABLE, check=False).returncode != 0
    assert host.ssh(f"ls {FIREWALL}", check=False).stdout == ""
    lab.down(25)


@pytest.fixture(autouse=True)
def without_lan(opened: Opened) -> Iterator[None]:
    until(lambda: opened.degraded() == LAN_ABSENT)
    yield
    opened.host.ssh(f"ip address del {LAN}/24 dev lan0 2>/dev/null || true")


def test_an_address_that_is_absent_is_degraded_and_engines_start_without_it(
    opened: Opened,
) -> None:
    as_user(opened.host, "systemctl --user stop 'engine@*'")  # some may have had it
    until(lambda: opened.all_at("127.0.0.1", opened.host.address))
    [file, *_] = opened.host.ssh(f"cat {ENVIRONMENT_FILES}/*.env | grep ADDRESSES").stdout.split(
        "\n"
    )
    assert file == f"HTTP_ADDRESSES=127.0.0.1 {opened.host.address}"
    # The gateway listens there already.
    assert opened.is_at(GATEWAY_PORT, "127.0.0.1", opened.host.address, LAN)
    failed = as_user(opened.host, "systemctl --user list-units --state=failed --no-legend")
    assert failed == ""
    doctor = as_user(
        opened.host,
        "env SETTINGS_FILE=/etc/acekeeper/settings.env RUNTIME=quadlet"
        " /opt/acekeeper/current/bin/acekeeper doctor",
        check=False,
    )
    assert all(absent in doctor for absent in LAN_ABSENT)
    assert "a container can be set up" in doctor


def test_players_on_the_host_and_in_containers_play_and_another_host_does_not(
    opened: Opened,
) -> None:
    host = opened.host
    host.copy(Path(str(opened.deployer.variables["acekeeper_image_archive"])), "/root/image.tar")
    host.ssh("podman load --quiet --input /root/image.tar", timeout_s=300)
    opened.play("127.0.0.1")
    opened.play(host.address)
    opened.play(host.address, opened.container())
    assert not any(opened.reaches(port) for port in [GATEWAY_PORT, *opened.listed()])
    assert opened.reaches(22)


def test_an_address_that_comes_is_had_by_new_engines_and_at_last_by_all(opened: Opened) -> None:
    host = opened.host
    at_first, at_last = ("127.0.0.1", host.address), ("127.0.0.1", host.address, LAN)
    until(lambda: opened.all_at(*at_first))
    with Viewing(host, KEY) as viewing:
        [begun] = viewing.do("begin", 1)
        unit = f"engine@{begun['port']}.service"
        start = engines(host)[unit]

        def others() -> list[int]:
            return [port for port in opened.listed() if port != begun["port"]]

        host.ssh(f"ip address add {LAN}/24 dev lan0")
        until(lambda: opened.degraded() == [])
        until(lambda: {*others()} != set() and all(opened.is_at(p, *at_last) for p in others()))
        assert opened.published(begun["port"]) == {*at_first}
        assert viewing.do("playing") == [True]
        assert engines(host)[unit] == start
        assert viewing.do("leave") == [True]
    until(lambda: opened.all_at(*at_last))
    # A container of a user's has the host's first address itself, and reaches the others alone.
    uid = host.ssh("id -u acekeeper").stdout.strip()
    rootless = f"sudo -u acekeeper XDG_RUNTIME_DIR=/run/user/{uid} {opened.container()}"
    # A television on that network, in a network namespace of its own.
    host.ssh(
        "ip netns add tv && ip link add tv0 type veth peer name tv1 && ip link set tv1 netns tv"
        " && ip link set tv0 master lan0 up && ip -n tv link set tv1 up"
        f" && ip -n tv address add {TELEVISION}/24 dev tv1"
        f" && ip -n tv address add {STRANGER}/32 dev tv1 && ip route add {STRANGER} dev lan0"
    )
    try:
        ours = [GATEWAY_PORT, *opened.listed()]
        assert all(opened.connects(port, TELEVISION) for port in ours)
        assert not any(opened.connects(port, STRANGER) for port in ours)
        assert opened.connects(22, STRANGER)
        opened.play(LAN, "ip netns exec tv")
        opened.play(LAN, rootless)
    finally:
        host.ssh(f"ip route del {STRANGER}; ip netns del tv")


def test_a_deployment_that_changes_the_addresses_leaves_what_plays_alone(opened: Opened) -> None:
    host, deployer = opened.host, opened.deployer
    given = dict(deployer.variables)
    until(lambda: len(opened.listed()) >= 2)
    with Viewing(host, KEY) as viewing:
        [begun] = viewing.do("begin", 1)
        port, unit = begun["port"], f"engine@{begun['port']}.service"
        start, published = engines(host)[unit], opened.published(port)
        assert host.address in published
        assert not opened.reaches(port)
        neighbours = f"{host.address.rpartition('.')[0]}.0/24"
        opened.change(
            ENGINE_HOST=LAN, GATEWAY_ALLOW=f"{BRIDGES},{LANS},{neighbours}", GATEWAY_PORT=6879
        )
        assert (opened.asked(6879), opened.published(GATEWAY_PORT)) == (HTTPStatus.OK, set())
        assert viewing.do("playing") == [True]
        assert engines(host)[unit] == start
        assert opened.published(port) == published
        assert opened.reaches(port)
        until(lambda: all(opened.is_at(p, "127.0.0.1") for p in opened.listed() if p != port))
        assert viewing.do("playing") == [True]
        assert viewing.do("leave") == [True]
    until(lambda: opened.all_at("127.0.0.1"))
    assert deployer.deploy(*SETTINGS_ALONE).changed == {host.name: 0}
    assert deployer.deploy("--check", *SETTINGS_ALONE).changed == {host.name: 0}
    deployer.variables.update(given)
    deployer.deploy(*SETTINGS_ALONE)
    assert not opened.reaches(GATEWAY_PORT)


def test_the_gateways_port_is_given_away_and_had_back_by_the_commands_of_the_docs(
    opened: Opened,
) -> None:
    host = opened.host
    page = (deploying.ROOT / "docs/operating.md").read_text("utf-8")
    giving, having_back = blocks(page, "Giving port 6878 away")
    *_, table = blocks(page, "Changing a setting")

    def paste(commands: str) -> str:
        return host.ssh("bash -es", stdin=commands).stdout

    assert f":{GATEWAY_PORT} " not in paste(f"{giving}{table}")
    engine = f"python3 -m http.server -b {host.address} {GATEWAY_PORT}"
    host.ssh(f"systemd-run -q --collect --unit=theirs {engine}")
    try:
        until(lambda: opened.is_at(GATEWAY_PORT, host.address))
        assert opened.degraded() == LAN_ABSENT[1:]
        assert opened.reaches(GATEWAY_PORT)
    finally:
        host.ssh("systemctl stop theirs")
    assert f"{LAN}:{GATEWAY_PORT} " in paste(f"{having_back}{table}")
    assert not opened.reaches(GATEWAY_PORT)
    opened.play("127.0.0.1")


def test_the_table_is_there_whatever_becomes_of_the_hosts_own_rules(opened: Opened) -> None:
    host, deployer = opened.host, opened.deployer
    table = host.ssh(TABLE).stdout
    for does in ("start", "reload", "restart", "stop"):
        host.ssh(f"systemctl {does} nftables.service")  # it begins with no rules at all
        assert host.ssh(TABLE).stdout == table, does
    host.ssh("nft flush ruleset; nft add table inet theirs")
    changes = deployer.deploy(*SETTINGS_ALONE).changes()
    assert changes == ["acekeeper : firewall | Put it in force"]
    assert host.ssh(TABLE).stdout == table
    assert "theirs" in host.ssh("nft list tables").stdout
    host.reboot()
    host.ssh(A_BRIDGE)
    until(lambda: host.ssh(TABLE, check=False).stdout == table)
    until(lambda: opened.degraded() == LAN_ABSENT)

    deployer.variables["acekeeper_firewall"] = False
    deployer.deploy(*SETTINGS_ALONE)
    assert host.ssh(TABLE, check=False).returncode != 0
    assert host.ssh(f"ls {FIREWALL}", check=False).stdout == ""
    assert opened.asked() == HTTPStatus.FORBIDDEN
    del deployer.variables["acekeeper_firewall"]
    deployer.deploy(*SETTINGS_ALONE)
    assert host.ssh(TABLE).stdout == table

"""Acexy beside acekeeper, by a stand-in for its image: put there, kept, changed and removed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from . import deploying, image
from .deploying import Deployer, Play, as_user, show
from .lab import Host, Lab
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

UNIT = "acexy.service"
GATEWAY = 6878
CONTENT = "0123456789abcdef0123456789abcdef01234567"
BYTES = 4 << 20  # what Acexy hands out at once


@dataclass(frozen=True)
class Deployed:
    host: Host
    deployer: Deployer
    checked: Play
    first: Play


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Every test leaves it with Acexy on port 8080; at the end an uninstall removes it."""
    host = lab.up(45)
    directory = tmp_path_factory.mktemp("deployed")
    variables = {
        **deploying.from_archive(image.build(directory)),
        **deploying.acexy_from_archive(image.build(directory, image.ACEXY)),
        "acekeeper_settings": {"AUTO_DELETE": "false"},  # what is started for a viewer stays
    }
    deployer = Deployer(directory, [host], variables)
    checked = deployer.deploy("--check", "--diff")
    first = deployer.deploy()
    yield Deployed(host, deployer, checked, first)
    deployer.play("uninstall.yml")
    assert files(host) == []
    assert host.ssh("ss -Hltn sport = :8080").stdout == ""
    assert deployer.play("uninstall.yml").changed == {host.name: 0}
    lab.down(45)


def test_a_check_of_a_bare_host_says_what_would_change(deployed: Deployed) -> None:
    would = {name.split(" | ")[0] for name in deployed.checked.changes()}
    did = {name.split(" | ")[0] for name in deployed.first.changes()}
    assert would == did
    assert f"+ACEXY_PORT={GATEWAY}" in deployed.checked.output


def test_a_viewer_gets_bytes_through_it(deployed: Deployed) -> None:
    assert watched(deployed.host, 8080) == BYTES


def test_it_runs_as_nobody_of_the_host_and_writes_nowhere(deployed: Deployed) -> None:
    host = deployed.host
    status = as_user(host, "systemctl --user status acexy")
    assert "Active: active (running)" in status
    assert "Starting server on http://127.0.0.1:8080" in status
    listening = host.ssh("ss -Hltnp sport = :8080").stdout
    [address, pid] = re.findall(r"(\S+):8080 .*pid=(\d+)", listening)[0]
    assert address == "127.0.0.1"
    uid = host.ssh(f"stat -c %u /proc/{pid}").stdout.strip()
    first = host.ssh("grep ^acekeeper: /etc/subuid").stdout.split(":")[1]
    assert int(uid) == int(first) + 1000  # 1000 inside, where our own user is nobody
    said = host.ssh(f"cat /proc/{pid}/status").stdout
    assert re.search(r"^CapEff:\s0+$", said, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s1$", said, re.MULTILINE)
    mounts = host.ssh(f"cat /proc/{pid}/mounts").stdout
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE)


def test_a_second_run_changes_nothing(deployed: Deployed) -> None:
    name = deployed.host.name
    running = starts(deployed.host)
    assert deployed.deployer.deploy().changed == {name: 0}
    assert deployed.deployer.deploy("--check", "--diff").changed == {name: 0}
    assert running.items() <= starts(deployed.host).items()


def test_a_changed_port_restarts_it_alone(deployed: Deployed) -> None:
    host, deployer = deployed.host, deployed.deployer
    running = starts(host)
    deployer.variables["acekeeper_acexy_port"] = 8081
    try:
        checked = deployer.deploy("--check", "--tags=acexy")
        assert checked.changes() == [
            "acekeeper : acexy | Say what it is told",
            "acekeeper : restart | Restart what runs with older files",
        ]
        assert running.items() <= starts(host).items()
        deployer.deploy("--tags=acexy,verify")
        now = starts(host)
        assert watched(host, 8081) == BYTES
    finally:
        del deployer.variables["acekeeper_acexy_port"]
        deployer.deploy("--tags=acexy,verify")
    assert {unit for unit in running if now[unit] != running[unit]} == {UNIT}


def test_it_comes_back_when_it_is_killed_and_after_a_reboot(deployed: Deployed) -> None:
    host = deployed.host
    pid = show(host, UNIT, "MainPID")
    host.ssh(f"kill -9 {pid}")
    until(lambda: show(host, UNIT, "MainPID") not in ("0", pid))
    host.reboot()
    until(lambda: show(host, UNIT, "ActiveState") == "active")
    assert watched(host, 8080) == BYTES


def test_without_a_gateway_there_is_nothing_for_it_to_play_from(deployed: Deployed) -> None:
    given = dict(deployed.deployer.variables)
    deployed.deployer.variables |= {
        "acekeeper_settings": {"GATEWAY_PORT": 0},
        "acekeeper_acexy_host": "tv.example.org",
        "acekeeper_acexy_image": "acexy:latest",
    }
    played = deployed.deployer.play("deploy.yml", "--check", check=False)
    deployed.deployer.variables = given
    assert played.status != 0
    assert (
        f"{deployed.host.name} needs acekeeper_acexy_image as the id, 64 hexadecimal digits, of the"
        " image in the archive, not acexy:latest; and a gateway for Acexy to play from, which"
        " GATEWAY_PORT=0 in acekeeper_settings turns off; and acekeeper_acexy_host as an IPv4"
        " address, not tv.example.org"
    ) in played.output


def test_not_wanted_any_more_it_is_removed_and_nothing_else(deployed: Deployed) -> None:
    host, deployer = deployed.host, deployed.deployer
    running = starts(host)
    deployer.variables["acekeeper_acexy"] = False
    deployer.deploy("--tags=acexy")
    assert files(host) == []
    assert show(host, UNIT, "LoadState") == "not-found"
    assert host.ssh("ss -Hltn sport = :8080").stdout == ""
    others = {unit: start for unit, start in running.items() if unit != UNIT}
    assert others.items() <= starts(host).items()
    assert deployer.deploy("--tags=acexy").changed == {host.name: 0}
    deployer.variables["acekeeper_acexy"] = True
    deployer.deploy("--tags=acexy,verify")
    assert len(files(host)) == 2


def watched(host: Host, port: int) -> int:
    """The bytes that a viewer got, who wanted so many."""
    url = f"http://127.0.0.1:{port}/ace/getstream?id={CONTENT}"
    counted = host.ssh(f"curl -sN --max-time 60 '{url}' | head -c {BYTES} | wc -c", timeout_s=90)
    return int(counted.stdout)


def files(host: Host) -> list[str]:
    return host.ssh("find /etc -name 'acexy*'").stdout.split()


def starts(host: Host) -> dict[str, str]:
    """What is another one after every start, by unit."""
    return deploying.starts(host, UNIT, "acekeeper.service", "acekeeper.socket")

"""The playbook, run over SSH on bare hosts."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from . import deploying, image, registry
from .deploying import Deployer, Play, as_user, build, differences, engines, found, show
from .lab import Host, Lab
from .viewing import Viewing
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

API_KEY = "a-key-nobody-may-see"
SETTINGS = {
    "MIN_REPLICAS": 2,
    "AUTO_DELETE": True,
    "ENGINE_GRACE_PERIOD_S": 1,
    "AUTOSCALE_INTERVAL_S": 5,
    "LOG_LEVEL": "DEBUG",
}
TIMERS = [f"acekeeper-sweep@{kind}.timer" for kind in ("health", "streams", "scale")]


@dataclass(frozen=True)
class Deployed:
    host: Host
    deployer: Deployer
    before: dict[str, set[str]]
    checked: Play
    after_check: dict[str, set[str]]
    first: Play


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> image.Image:
    return image.build(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def deployed(
    lab: Lab, built: image.Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Every test leaves it deployed, with these settings and this release."""
    host = lab.up(21)
    variables = {
        **deploying.from_archive(built),
        "acekeeper_settings": SETTINGS,
        "acekeeper_api_key": API_KEY,
    }
    deployer = Deployer(tmp_path_factory.mktemp("deployed"), [host], variables)
    before = found(host)
    checked = deployer.deploy("--check", "--diff")
    after_check = found(host)
    first = deployer.deploy()
    until(lambda: len(engines(host)) == SETTINGS["MIN_REPLICAS"])  # it waited for one of them
    yield Deployed(host, deployer, before, checked, after_check, first)
    lab.down(21)


def test_a_check_of_a_bare_host_says_what_would_change_and_changes_nothing(
    deployed: Deployed,
) -> None:
    assert list(differences(deployed.before, deployed.after_check)) == []
    # What can only be seen with an account is said in one sentence instead.
    would = {name.split(" | ")[0] for name in deployed.checked.changes()}
    did = {name.split(" | ")[0] for name in deployed.first.changes()}
    assert would == did
    assert "+ExecStart=/opt/acekeeper/current/bin/acekeeper serve" in deployed.checked.output


def test_the_first_run_says_what_to_do_next_and_fails_nothing_that_is_well(
    deployed: Deployed,
) -> None:
    assert "FAILED - RETRYING" not in deployed.first.output
    assert "Players: http://127.0.0.1:6878/ace/getstream?id=" in deployed.first.output
    assert "Panel: http://127.0.0.1:8000/panel" in deployed.first.output
    assert "acekeeper status" in deployed.first.output
    written = deployed.host.ssh("head -3 /etc/acekeeper/settings.env").stdout
    assert "The playbook writes this file" in written


def test_a_check_of_an_uninstall_names_what_goes_and_not_each_file_in_it(
    deployed: Deployed,
) -> None:
    played = deployed.deployer.play("uninstall.yml", "--check", "--diff")
    assert f"/opt/acekeeper/{build(deployed.host)}" in played.output
    assert "site-packages" not in played.output


def test_it_runs_as_a_user_who_can_do_nothing_else(deployed: Deployed) -> None:
    host = deployed.host
    assert get(host, "/health/ready")["ready"] is True
    settled(host)
    passwd = host.ssh("getent passwd acekeeper").stdout.strip().split(":")
    assert passwd[5:] == ["/var/lib/acekeeper", "/usr/sbin/nologin"]
    pid = show(host, "acekeeper.service", "MainPID")
    assert host.ssh(f"stat -c %U /proc/{pid}").stdout.strip() == "acekeeper"
    writable = as_user(
        host, "find /opt/acekeeper /etc/acekeeper /etc/containers ! -type l -writable"
    )
    assert writable == ""
    assert host.ssh("stat -c '%a %U:%G' /etc/acekeeper/settings.env").stdout.split() == [
        "640",
        "root:acekeeper",
    ]


def test_a_second_run_changes_nothing(deployed: Deployed, tell: Callable[[str], None]) -> None:
    name = deployed.host.name
    running = settled(deployed.host)
    again = deployed.deployer.deploy()
    assert again.changed == {name: 0}
    assert deployed.deployer.deploy("--check", "--diff").changed == {name: 0}
    tell(f"first run: {deployed.first.recap}; second run: {again.recap}")
    assert starts(deployed.host) == running


def test_a_changed_setting_restarts_acekeeper_alone_and_a_changed_interval_its_timer(
    deployed: Deployed,
) -> None:
    host, deployer = deployed.host, deployed.deployer
    running = settled(host)
    with settings(deployer, MAX_REPLICAS=7):
        checked = deployer.deploy("--check", "--tags=settings")
        assert checked.changes()[-1].endswith("Restart what runs with older files")
        assert "item=acekeeper.service" in checked.output
        assert "MAX_REPLICAS: unset -> 7" in checked.output
        assert starts(host) == running
        deployer.deploy("--tags=settings,verify")
        assert get(host, "/orchestrator/status")["capacity"]["max_replicas"] == 7
    with_setting = starts(host)
    # Timers run exactly as long as the service does.
    assert restarted(running, with_setting) == {"acekeeper.service", *TIMERS}
    with settings(deployer, MAX_REPLICAS=7, AUTOSCALE_INTERVAL_S=47):
        deployer.deploy("--tags=settings")
    with_interval = starts(host)
    assert "47s" in show(host, SCALE, "TimersMonotonic")
    assert restarted(with_setting, with_interval) == {SCALE}
    deployer.deploy("--tags=settings,verify")


def test_a_changed_quadlet_restarts_nothing(deployed: Deployed) -> None:
    host = deployed.host
    running = settled(host)
    host.ssh(
        "echo '# changed' >> /etc/containers/systemd/users/$(id -u acekeeper)/engine@.container"
    )
    played = deployed.deployer.deploy("--tags=units")
    assert played.changes() == ["acekeeper : units | Install the quadlet and the variant of it"]
    assert "are those that were proved last" in played.output
    assert restarted(running, starts(host)) == set()  # a successor may have come beside them


def test_a_bad_setting_is_named_before_anything_changes(deployed: Deployed) -> None:
    running = settled(deployed.host)
    with settings(deployed.deployer, MIN_REPLICAS=999):
        played = deployed.deployer.play("deploy.yml", "--tags=settings", check=False)
    assert played.status != 0
    assert "MIN_REPLICAS=999 is out of range" in played.output
    assert played.changes() == []
    assert starts(deployed.host) == running


def test_a_port_that_was_lost_meanwhile_is_named_before_anything_is_touched(
    deployed: Deployed,
) -> None:
    host, deployer = deployed.host, deployed.deployer
    as_user(host, "systemctl --user stop acekeeper.socket acekeeper.service")
    squatter = "python3 -m http.server --bind 127.0.0.1 8000"
    host.ssh(f"systemd-run --quiet --unit=squatter {squatter}")
    until(lambda: host.ssh("ss -Hltn sport = :8000").stdout != "")
    try:
        played = deployer.play("deploy.yml", "--tags=settings", check=False)
    finally:
        host.ssh("systemctl stop squatter")
        as_user(host, "systemctl --user start acekeeper.service")
    assert played.status != 0
    assert "APP_PORT=8000: another program listens on 127.0.0.1:8000" in played.output
    assert played.changes() == []


def test_what_the_host_lacks_is_said_in_one_line(deployed: Deployed) -> None:
    deployer, name = deployed.deployer, deployed.host.name
    given = dict(deployer.variables)
    deployer.variables["acekeeper_image_architectures"] = ["riscv64"]
    deployer.variables["acekeeper_release_dir"] = "/nowhere"
    deployer.variables["acekeeper_acexy"] = True
    deployer.variables["acekeeper_acexy_image"] = f"example.org/acexy@sha256:{64 * '0'}"
    played = deployer.play("deploy.yml", "--check", check=False)
    deployer.variables = given
    assert played.status != 0
    said = (
        f"{name} needs an image for .*; and the digest of a real image; that of 64 zeros is the"
        " example's; and a release in /nowhere; `make dist` makes it"
    )
    assert re.search(said, played.output)


def test_another_build_of_the_same_version_is_deployed_though_the_run_before_was_killed(
    deployed: Deployed, tmp_path: Path
) -> None:
    """The other is of before the gateway, so that the way back to this one brings its socket."""
    host, deployer = deployed.host, deployed.deployer
    one = build(host)
    engines_before = engines(host)
    given = dict(deployer.variables)
    made = deploying.release(tmp_path, deploying.before_the_gateway)
    deployer.variables["acekeeper_release_dir"] = str(made)
    deployer.interrupt("release | Install them")
    assert build(host) == one
    # Everything is in place, and the old one still runs.
    deployer.interrupt("restart | See which run")
    other = (deployer.release / "BUILD").read_text().strip()
    assert host.ssh("readlink /opt/acekeeper/current").stdout.strip() == other
    deployer.deploy()
    assert build(host) == other != one
    assert sorted(releases(host)) == sorted([one, other])
    assert engines(host) == engines_before
    # A unit that this one does not have is gone, and its port is nobody's.
    assert show(host, SOCKET, "LoadState") == "not-found"
    assert host.ssh("ss -Hltn sport = :6878").stdout == ""
    places = f"/opt/acekeeper/systemd ~acekeeper/.config/systemd/user -name '{SOCKET}'"
    assert host.ssh(f"find {places}").stdout == ""

    # From here on without building: it is kept, and the host has it.
    deployer.variables = {**given, "acekeeper_version": one}
    (made.parent / "releases" / one).symlink_to(deploying.ROOT / "dist/releases" / one)
    deployer.variables["acekeeper_release_dir"] = str(made)
    deployer.deploy("--check", "--tags=units")  # it restarts nothing that is yet to be linked
    with Viewing(host, API_KEY) as viewing:
        viewing.do("begin", 1)
        played = deployer.deploy()
        assert not {c for c in played.changes() if " : release | " in c}
        deployer.variables = given
        assert engines_before.items() <= engines(host).items()
        assert viewing.do("playing") == viewing.do("leave") == [True]
    assert build(host) == one
    assert sorted(releases(host)) == sorted([one, other])
    assert show(host, SOCKET, "ActiveState") == "active"
    listening = get(host, "/orchestrator/status")["gateway"]["listening"]
    assert listening == ["127.0.0.1:6878"]
    until(lambda: len(engines(host)) == SETTINGS["MIN_REPLICAS"])


def test_no_key_is_in_the_output_or_in_arguments(deployed: Deployed) -> None:
    host, deployer = deployed.host, deployed.deployer
    given = dict(deployer.variables)
    deployer.variables |= {
        "acekeeper_api_key": "another-key",
        "acekeeper_api_key_previous": API_KEY,
    }
    with deploying.watched(host, "-key") as seen:
        shown = [deployer.deploy("-vvv", "--diff", "--tags=settings").output]
        deployer.variables = given
        shown.append(deployer.deploy("-vvv", "--diff", "--tags=settings").output)
    assert seen == []
    for output in shown:
        assert "API_KEY" in output
        assert API_KEY not in output
        assert "another-key" not in output


def test_two_hosts_one_first_from_a_registry_and_back_to_bare(
    lab: Lab, built: image.Image, tmp_path: Path
) -> None:
    one, other = lab.up(22), lab.up(23)
    other.ssh(f"apt-get -qq update && {INSTALL} sudo", timeout_s=200)
    other.ssh("useradd -m admin && echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin")
    other.ssh("cp -r /root/.ssh /home/admin/ && chown -R admin: /home/admin/.ssh")
    before = {host: found(host) for host in (one, other)}
    with registry.serving(built.archive, lab.address) as there:
        variables = {
            "acekeeper_image": there.image,
            "acekeeper_insecure_registries": [there.address],
            "acekeeper_engine_variant": "emulator",
        }
        deployer = Deployer(tmp_path, [one, other], variables)
        deployer.log_in_as(other, "admin")
        # The first failure keeps the others as they are.
        refused = deployer.play(
            "deploy.yml", "-e", '{"acekeeper_image_architectures": ["riscv64"]}', check=False
        )
        assert f"{one.name} needs an image for" in refused.output
        assert f"{other.name} needs an image for" not in refused.output
        deployer.deploy()
    for host in (one, other):
        assert get(host, "/orchestrator/status")["engines"]["healthy"] > 0
    # What was pulled is not asked for again.
    assert deployer.deploy().changed == {one.name: 0, other.name: 0}

    # All that is left of packages is sudo, where it came with them.
    deployer.play("uninstall.yml", "-e", "acekeeper_remove_packages=true")
    assert "sudo installed" in found(one)["packages"] - before[one]["packages"]
    assert found(other)["packages"] == before[other]["packages"]
    sudo = {host: of_sudo(host, before[host]) for host in (one, other)}
    for host in (one, other):
        left = set(differences(before[host], found(host))) - sudo[host]
        ours = re.compile(
            r"new in (accounts: acekeeper:|files: /var/lib/acekeeper[ /])"
            r"|(new in|gone from) accounts: systemd-journal:"
            r"|(new in|gone from) files: /etc/(passwd|g?shadow|group|sub[ug]id) "
        )
        assert {line for line in left if not ours.match(line)} == set()
        assert any("acekeeper.db" in line for line in left)
    deployer.play("uninstall.yml", "-e", "acekeeper_purge=true")
    for host in (one, other):
        assert set(differences(before[host], found(host))) - sudo[host] == set()
    lab.down(22)
    lab.down(23)


def of_sudo(host: Host, before: dict[str, set[str]]) -> set[str]:
    """What is new by the package and those it needs."""
    needs = "apt-cache depends --recurse --installed --important sudo | grep '^[^ <]'"
    needed = set(host.ssh(needs).stdout.split())
    new = {line.split()[0] for line in found(host)["packages"] - before["packages"]}
    assert new - needed == set()
    if not new:
        return set()
    files = set(host.ssh(f"dpkg -L {' '.join(new)}").stdout.splitlines())
    files |= {file.replace("/lib/", "/usr/lib/", 1) for file in files if file.startswith("/lib/")}
    return {
        line
        for line in differences(before, found(host))
        if line.startswith("new in packages: ")
        or (
            line.startswith("new in files: ")
            and (
                line.split()[3] in files or re.match(r"/etc/rc\d\.d/[SK]\d+sudo$", line.split()[3])
            )
        )
    }


INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
SCALE = TIMERS[2]
SOCKET = "acekeeper-gateway.socket"


@contextmanager
def settings(deployer: Deployer, **values: object) -> Iterator[None]:
    given = deployer.variables
    deployer.variables = {**given, "acekeeper_settings": {**SETTINGS, **values}}
    yield
    deployer.variables = given


def get(host: Host, path: str) -> Any:
    ask = (
        "import sys, urllib.request as u;"
        " r = u.Request('http://127.0.0.1:8000' + sys.argv[1]);"
        " print(u.urlopen(r, timeout=10).read().decode())"
    )
    return json.loads(host.ssh(f'python3 -c "{ask}" {path}').stdout)


def settled(host: Host) -> dict[str, str]:
    """What runs once no engine is replaced any more, and none is one too many."""

    def is_settled() -> bool:
        status = get(host, "/orchestrator/status")
        return not status["rollout"] and status["engines"]["total"] == SETTINGS["MIN_REPLICAS"]

    until(is_settled)
    return starts(host)


def starts(host: Host) -> dict[str, str]:
    """What is another one after every start, by unit."""
    units = ["acekeeper.service", "acekeeper.socket", SOCKET, "podman.socket", *TIMERS]
    return deploying.starts(host, *units)


def restarted(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {unit for unit, start in before.items() if after.get(unit) != start}


def releases(host: Host) -> list[str]:
    return host.ssh("cd /opt/acekeeper && ls -d *+*").stdout.split()

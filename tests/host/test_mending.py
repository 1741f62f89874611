"""What breaks below acekeeper on a deployed host: what comes back by itself, and what the doctor's
`--fix` and the playbook mend. No engine that runs is touched by any of it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import image, registry
from .deploying import INTERVALS, Deployer, Play, as_user, engines, show
from .faults import HOME, prepare
from .lab import Host, Lab
from .registry import Registry
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

SETTINGS = {
    "MIN_REPLICAS": 2,
    "MAX_REPLICAS": 9,
    **INTERVALS,
    "CIRCUIT_BREAKER_TIMEOUT_S": 5,
}
STORAGE = f"{HOME}/.local/share/containers/storage"
RUNTIME = "/run/user/$(id -u acekeeper)"
LOGIN = "viewer:a-password-of-the-registry"
AUTH = f"{HOME}/.config/containers/acekeeper-auth.json"
PROXY = f"{HOME}/.config/containers/acekeeper-pull.conf"
WRITTEN = "acekeeper : image | Write the login to registries, and the proxy"
REMOVED = "acekeeper : image | Remove the login to registries, and the proxy"
SETTINGS_FILE = "SETTINGS_FILE=/etc/acekeeper/settings.env RUNTIME=quadlet"
FILLER = f"{HOME}/filler"
SCRIPT = Path(__file__).parents[2] / "ansible/roles/acekeeper/files/unneeded-images"


@dataclass(frozen=True)
class Running:
    host: Host
    deployer: Deployer
    registry: Registry
    first: str  # what the playbook printed

    def ready(self) -> dict[str, object]:
        said = self.host.ssh("curl -s -m 5 http://127.0.0.1:8000/health/ready", check=False).stdout
        found: dict[str, object] = json.loads(said or "{}")
        return found

    def degraded(self) -> str:
        return str(self.ready().get("degraded"))

    def is_well(self) -> bool:
        said = self.host.ssh("curl -s http://127.0.0.1:8000/orchestrator/status").stdout
        status = json.loads(said)
        free: int = status["capacity"]["available"]
        return status["status"] == "healthy" and free >= SETTINGS["MIN_REPLICAS"]

    def doctor(self, option: str = "") -> tuple[int, str]:
        run = (
            f"sh -c '{SETTINGS_FILE} /opt/acekeeper/current/bin/acekeeper doctor {option}; echo $?'"
        )
        *lines, status = as_user(self.host, run, check=False).splitlines()
        return int(status), "\n".join(lines)

    def mend(self) -> str:
        """All is well after it; what it said it did."""
        status, said = self.doctor("--fix")
        fixed = "\n".join(re.findall(r"^(?:fixed|failed) .*$", said, re.MULTILINE))
        # Engines that start meanwhile may be all that is not yet as it should be.
        assert status == 0 or until(lambda: self.doctor()[0] == 0), said
        return fixed

    def replace_an_engine(self) -> None:
        """One more start than there was, and all is well after it."""
        before = engines(self.host)
        as_user(self.host, f"systemctl --user stop {min(before)}")
        until(lambda: len(engines(self.host).items() - before.items()) > 0)
        until(self.is_well)


@pytest.fixture(scope="module")
def running(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Of a registry that asks for a login; the account's home is a small disk of its own."""
    host = lab.up(95)
    built = image.build(tmp_path_factory.mktemp("image"))
    with registry.serving(built.archive, lab.address, LOGIN) as there:
        variables = {
            "acekeeper_image": there.image,
            "acekeeper_insecure_registries": [there.address],
            "acekeeper_registry_auth": there.auth,
            "acekeeper_engine_variant": "emulator",
            "acekeeper_settings": SETTINGS,
        }
        deployer = Deployer(tmp_path_factory.mktemp("deployed"), [host], variables)
        first = deployer.deploy("-vvv").output
        prepare(host)
        yield Running(host, deployer, there, first)
    lab.down(95)


@pytest.fixture(autouse=True)
def well(running: Running) -> Iterator[None]:
    until(running.is_well)
    yield
    until(running.is_well)


@contextmanager
def undisturbed(running: Running) -> Iterator[None]:
    """All engines of before run on."""
    before = engines(running.host)
    assert len(before) >= SETTINGS["MIN_REPLICAS"]
    yield
    assert before.items() <= engines(running.host).items()


@contextmanager
def by_proxy(running: Running) -> Iterator[Play]:
    """The registry is asked by itself as a proxy."""
    running.deployer.variables["acekeeper_image_proxy"] = f"http://{running.registry.address}"
    played = running.deployer.deploy("--tags", "image")
    del running.deployer.variables["acekeeper_image_proxy"]
    yield played
    assert running.host.ssh(f"stat -c '%a %U' {PROXY}").stdout == "600 acekeeper\n"
    assert running.deployer.deploy("--tags", "image").changes() == [REMOVED]


def test_the_login_to_the_registry_is_for_the_account_alone(running: Running) -> None:
    kept = running.host.ssh(f"stat -c '%a %U' {AUTH}; cat {AUTH}").stdout.splitlines()
    assert kept == ["600 acekeeper", running.registry.auth]
    assert "Write the login to registries" in running.first
    assert running.registry.basic not in running.first
    assert running.deployer.deploy("--tags", "image").changes() == []


SOCKET_FAULTS = {
    "stopped": "systemctl --user stop podman.socket",
    "removed": f"rm {RUNTIME}/podman/podman.sock",
}


@pytest.mark.parametrize("fault", SOCKET_FAULTS)
def test_podmans_socket_is_back_by_itself(running: Running, fault: str) -> None:
    ping = f"curl -s --unix-socket {RUNTIME}/podman/podman.sock http://podman/_ping"
    before = show(running.host, "podman.socket", "InvocationID")
    with undisturbed(running):
        as_user(running.host, SOCKET_FAULTS[fault])
        until(lambda: show(running.host, "podman.socket", "InvocationID") not in ("", before))
        until(lambda: "OK" in as_user(running.host, ping, check=False))
    assert running.degraded() == "[]"


@pytest.mark.long
def test_podmans_socket_that_cannot_be_started_is_told_once_and_mended_with_the_rest(
    running: Running,
) -> None:
    """Where the service does not run, the doctor starts both."""
    host = running.host
    with undisturbed(running):
        as_user(host, "systemctl --user mask --now --runtime podman.socket")
        until(lambda: "podman: podman.socket does not start" in running.degraded())
        log = "journalctl -b -o cat _SYSTEMD_USER_UNIT=acekeeper.service | grep -c source_silent"
        swept = show(host, "acekeeper-sweep@scale.service", "ExecMainStartTimestampMonotonic")
        later = "ExecMainStartTimestampMonotonic"
        until(lambda: show(host, "acekeeper-sweep@scale.service", later) != swept)
        assert host.ssh(log).stdout.strip() == "1"
        as_user(host, "systemctl --user unmask --runtime podman.socket")
        as_user(host, "systemctl --user stop acekeeper.socket acekeeper.service")
        fixed = running.mend()
        assert "`systemctl --user start acekeeper.service`" in fixed
        assert "`systemctl --user enable --now podman.socket`" in fixed
        assert "failed" not in fixed


def test_a_damaged_image_is_found_and_brought_again_by_the_proxy(running: Running) -> None:
    host, deployer = running.host, running.deployer
    with undisturbed(running):
        damage = f"find {STORAGE}/overlay/*/diff -name argparse.py | xargs truncate -s 9"
        host.ssh(damage)
        assert as_user(host, f"podman image exists {running.registry.image} && echo there")
        status, said = running.doctor("--fix")
        assert status == 1
        assert re.search("wrong  the engine image .* is damaged: .*integrity checksum failed", said)
        assert "Run the playbook with `--tags image`" in said

        with by_proxy(running) as played:
            assert played.changes() == [
                WRITTEN,
                "acekeeper : image | Put a damaged storage aside",
                "acekeeper : bring | Pull it",
            ]
        assert any("/blobs/" in url for url in running.registry.proxied)
        assert running.doctor()[0] == 0
        # Engines still run from the old one.
        assert deployer.deploy("--tags", "prune").changes() == []
    as_user(host, "systemctl --user stop 'engine@*'")
    until(running.is_well)
    assert running.deployer.deploy("--tags", "prune").changed == {host.name: 1}
    assert host.ssh(f"ls {STORAGE}.aside-*", check=False).stdout == ""


def test_a_storage_beyond_use_is_put_aside_and_the_image_pulled_again(
    running: Running, tell: Callable[[str], None]
) -> None:
    host = running.host
    with undisturbed(running), by_proxy(running):
        running.registry.proxied.clear()
        host.ssh(f"truncate -s 200 {STORAGE}/overlay-images/images.json")
        assert running.doctor()[0] == 1
        fixed = running.mend()
        assert f"`mv --no-target-directory {STORAGE} {STORAGE}.aside-" in fixed
        assert f"`podman --module={PROXY} pull --quiet --authfile={AUTH}" in fixed
        assert any("/blobs/" in url for url in running.registry.proxied)
    running.replace_an_engine()
    tell("storage beyond use: the doctor put it aside and pulled the image; no engine was touched")


def test_a_full_runtime_directory_is_told_and_leftovers_of_containers_are_removed(
    running: Running,
) -> None:
    host = running.host
    inodes = host.ssh(f"df --output=itotal {RUNTIME} | tail -1").stdout.strip()
    ids = "seq -f %064.0f 1000"
    persist = f"{RUNTIME}/libpod/tmp/persist"
    with undisturbed(running):
        as_user(
            host, f"sh -c 'cd {persist}; {ids} | xargs mkdir; for i in *; do touch $i/exit; done'"
        )
        limit = f"$(( $(df --output=iused {RUNTIME} | tail -1) + 20 ))"
        host.ssh(f"mount -o remount,nr_inodes={limit} {RUNTIME}")
        until(lambda: "is full: it has no inodes left" in running.degraded())
        status, said = running.doctor()
        assert status == 1
        assert re.search(
            r"\d{4} files and directories there are of containers that are no more", said
        )
        assert "fixed  " in running.mend()
        assert host.ssh(f"ls {persist} | grep -c ^0000", check=False).stdout.strip() == "0"
    host.ssh(f"mount -o remount,nr_inodes={inodes} {RUNTIME}")
    running.replace_an_engine()


def test_a_full_disk_is_told_and_all_is_back_by_itself_when_there_is_room(running: Running) -> None:
    host = running.host
    host.ssh(f"dd if=/dev/zero of={FILLER} bs=1M status=none", check=False, timeout_s=120)
    until(lambda: f"{HOME} is full" in running.degraded())
    status, said = running.doctor()
    assert status == 1
    assert f"{HOME} has only 0 MiB left" in said
    before = engines(host)
    as_user(host, f"systemctl --user stop {min(before)}")
    until(lambda: min(before) not in engines(host))
    host.ssh(f"rm {FILLER}")
    until(running.is_well)
    assert len(engines(host)) >= SETTINGS["MIN_REPLICAS"]


@pytest.mark.long
def test_a_killed_service_manager_and_its_engines_are_back_and_podman_is_well(
    running: Running,
) -> None:
    """Podman would ask for a migrate, over what was killed with it."""
    host = running.host
    before = engines(host)
    ask = "systemctl show --value user@$(id -u acekeeper).service --property"
    restarts = host.ssh(f"{ask}=NRestarts").stdout
    host.ssh(f"kill -9 $({ask}=MainPID)")
    until(lambda: host.ssh(f"{ask}=NRestarts").stdout != restarts)
    until(lambda: running.ready().get("ready") is True)
    until(running.is_well)
    assert not before.items() & engines(host).items()
    assert running.doctor()[0] == 0


@pytest.mark.long
def test_images_that_nobody_needs_go_after_the_next(running: Running) -> None:
    """Three of them, one after another, beside the one that engines use."""
    host = running.host
    host.copy(SCRIPT, "/root/unneeded-images")
    [used] = set(as_user(host, "podman ps --no-trunc --format {{.ImageID}}").split())

    def make(n: int) -> str:
        host.ssh(f"echo {n} > /tmp/made; tar -C /tmp -cf /tmp/made.tar made")
        made = as_user(host, f"podman import -q /tmp/made.tar localhost/made:{n}").strip()
        return made.removeprefix("sha256:")

    def deployed(made: str) -> list[str]:
        """What goes when this one is the image in force."""
        remove = f"sh /root/unneeded-images acekeeper acekeeper_image={made}"
        lines = host.ssh(remove).stdout.splitlines()
        return [line.split()[1] for line in lines if line.startswith("image ")]

    assert deployed(first := make(1)) == []
    assert deployed(second := make(2)) == []
    assert deployed(third := make(3)) == [first]
    left = as_user(host, "podman images --quiet --no-trunc").replace("sha256:", "").split()
    assert set(left) == {used, second, third}  # the one before is kept, to go back to
    played = running.deployer.deploy("-v", "--tags", "prune")
    assert f"image {second}" in played.output
    assert deployed(used) == []


@pytest.mark.long
def test_without_a_login_it_is_removed(running: Running) -> None:
    given = running.deployer.variables.pop("acekeeper_registry_auth")
    played = running.deployer.deploy("--tags", "image")
    running.deployer.variables["acekeeper_registry_auth"] = given
    assert played.changes() == [REMOVED]
    assert running.host.ssh(f"ls {AUTH}", check=False).stdout == ""

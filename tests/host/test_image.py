import json
from pathlib import Path

import pytest

from . import image
from .lab import Host, Lab

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

PACKAGES = "podman crun passt uidmap dbus-user-session catatonit sudo"
USER = "engines"
RUN = (
    "podman run -d --pull never --read-only --cap-drop all --security-opt no-new-privileges"
    " --userns nomap -p 127.0.0.1:6878:6878"
    " --pids-limit 0"  # a guest has no pids controller where the machine still has cgroups v1
)
GET_STATUS = """
import time, urllib.request
for _ in range(300):
    try:
        url = "http://127.0.0.1:6878/server/api?api_version=3&method=get_status"
        print(urllib.request.urlopen(url, timeout=5).read().decode())
        break
    except OSError:
        time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def podman(lab: Lab) -> Host:
    host = lab.up(104)
    host.ssh("apt-get -qq update", timeout_s=120)
    install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
    host.ssh(f"{install} {PACKAGES}", timeout_s=200)
    host.ssh(f"useradd --create-home {USER} && loginctl enable-linger {USER}")
    host.ssh(f"systemctl start user@$(id -u {USER})")  # lingering does not wait for it
    return host


def test_the_same_inputs_give_the_same_image(tmp_path: Path) -> None:
    one, other = image.build(tmp_path / "one"), image.build(tmp_path / "other")
    assert one.id == other.id
    assert one.archive.read_bytes() == other.archive.read_bytes()


def test_podman_knows_it_by_the_id_and_it_runs_confined(podman: Host, tmp_path: Path) -> None:
    built = image.build(tmp_path)
    podman.copy(built.archive, "/tmp/engine.oci.tar")
    as_user(podman, "podman load -q -i /tmp/engine.oci.tar")
    inspected = as_user(podman, f"podman image inspect -f '{{{{.Id}}}}' {image.ENGINE.name}")
    assert f"sha256:{inspected.strip()}" == built.id

    as_user(podman, f"{RUN} --name engine {built.id} --client-console --bind-all")
    status = podman.ssh("python3 -", stdin=GET_STATUS).stdout
    assert json.loads(status)["result"]["version"], as_user(podman, "podman logs engine")
    as_user(podman, "podman rm -f -t 2 engine")


def as_user(host: Host, command: str) -> str:
    environment = f"XDG_RUNTIME_DIR=/run/user/$(id -u {USER})"
    return host.ssh(f"cd / && sudo -u {USER} {environment} timeout 60 {command}").stdout

"""A host with acekeeper on it, put there by hand: what needs no playbook to be tested."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .lab import Host, machine

ROOT = Path(__file__).parents[2]
PACKAGES = "podman crun passt uidmap dbus-user-session catatonit python3-venv"
HOME = "/var/lib/acekeeper"
UNITS = f"{HOME}/.config/systemd/user"
SETTINGS = "/etc/acekeeper/settings.env"
ACEKEEPER = "/opt/acekeeper/current/bin/acekeeper"
PYTHON = "3.13"  # Debian 13's
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}

SYSTEMCTL = "systemctl --user -M acekeeper@"
AS_USER = "systemd-run --user -M acekeeper@ --pipe --wait --quiet"

# Nothing of it is started: no engine is kept.
SETTINGS_TEXT = (
    f"RUNTIME=quadlet\nMIN_REPLICAS=0\nTARGET_IMAGE={'0' * 64}\nAPI_KEY=not-to-be-seen\n"
)
SET_UP = f"""
set -eu
adduser() {{ useradd --system --create-home --shell /usr/sbin/nologin "$@"; }}
adduser --home-dir {HOME} --add-subids-for-system acekeeper
loginctl enable-linger acekeeper
python3 -m venv /opt/acekeeper/test
/opt/acekeeper/test/bin/pip install --quiet --no-index --find-links /root/wheels acekeeper
ln -s test /opt/acekeeper/current
install -d /etc/acekeeper
install -m 0640 -g acekeeper /dev/stdin {SETTINGS}
install -d -o acekeeper -g acekeeper {HOME}/.config {HOME}/.config/systemd {UNITS}
install -o acekeeper -g acekeeper -m 0644 /root/systemd/* {UNITS}
{AS_USER} -E SETTINGS_FILE={SETTINGS} {ACEKEEPER} settings --drop-ins {UNITS} >/dev/null
{SYSTEMCTL} daemon-reload
{SYSTEMCTL} enable --quiet podman.socket acekeeper.service
{SYSTEMCTL} start podman.socket acekeeper.service
"""


def install(host: Host) -> None:
    host.ssh("apt-get -qq update", timeout_s=120)
    quiet = "DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends"
    host.ssh(f"{quiet} {PACKAGES}", timeout_s=300)
    with tempfile.TemporaryDirectory() as directory:
        wheels = Path(directory, "wheels")
        _collect(wheels)
        host.copy(wheels, "/root")
    host.copy(ROOT / "systemd", "/root")
    host.ssh(SET_UP, stdin=SETTINGS_TEXT, timeout_s=120)


def _collect(wheels: Path) -> None:
    """acekeeper and all it needs, for the host's Python and not for ours."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    system = ARCHITECTURES[machine.architecture()]
    platforms = [f"--platform=manylinux{tag}_{system}" for tag in ("2014", "_2_17", "_2_28")]
    lock = ["--require-hashes", f"--requirement={ROOT}/requirements.lock"]
    download = ["download", "--only-binary=:all:", f"--python-version={PYTHON}", *platforms, *lock]
    build = ["wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={wheels}", str(ROOT)]
    for command in ([*download, f"--dest={wheels}"], build):
        done = subprocess.run([*pip, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def shown(host: Host, unit: str, name: str) -> str:
    return host.ssh(f"{SYSTEMCTL} show --property={name} --value {unit}").stdout.strip()


def exposure(host: Host, unit: str) -> float:
    said = host.ssh(f"{AS_USER} systemd-analyze --user security --no-pager {unit}").stdout
    level = re.search(rf"exposure level for {re.escape(unit)}: ([\d.]+)", said)
    assert level, said
    return float(level[1])

"""The machine the lab runs on: what it must have, and what its guests take over from it."""

import os
import platform
import re
import shutil
from pathlib import Path

from .command import PATH, run
from .errors import CommandError, UnavailableError

TOOLS = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
    "zstd": "zstd",
}
DEVICES = (Path("/dev/fuse"), Path("/dev/net/tun"))
TAKEN_OVER = re.compile(r"(https?_proxy|no_proxy|PIP_CERT|PIP_INDEX_URL|SSL_CERT_FILE)", re.I)
APT_TAKEN_OVER = re.compile(r"Acquire::(https?::|Check-|Retries|ForceIPv)")


def check() -> None:
    """Installs the tools that are missing; UnavailableError if a lab cannot be had here."""
    if os.geteuid() != 0:
        raise UnavailableError("the lab needs root")
    if _release().get("ID") != "debian" or _release().get("VERSION_ID") not in ("12", "13"):
        raise UnavailableError("the lab needs Debian 12 or 13")
    for device in DEVICES:
        if not device.is_char_device():
            raise UnavailableError(f"the lab needs {device}")
    cgroups = Path("/sys/fs/cgroup")
    if not any((root / "cgroup.controllers").exists() for root in (cgroups, cgroups / "unified")):
        raise UnavailableError("the lab needs cgroups v2")
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool, path=PATH) is None]
    if not missing:
        return
    install = ("apt-get", "-qq", "install", "--yes", "--no-install-recommends", *missing)
    try:
        run("apt-get", "-qq", "update", timeout_s=300)
        run("env", "DEBIAN_FRONTEND=noninteractive", *install, timeout_s=600)
    except CommandError as error:
        raise UnavailableError(
            f"cannot install {', '.join(missing)}: {last_line(error)}"
        ) from error


def mirror() -> str:
    """The Debian mirror this machine itself installs from."""
    releases = {_release().get("VERSION_CODENAME"), "stable", "oldstable"}
    targets = run(
        *("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"),
        "Created-By: Packages",
    )
    for line in targets.stdout.splitlines():
        release, component, uri = line.split(maxsplit=2)
        if release in releases and component == "main":
            if uri.startswith("mirror+file:"):  # a list of mirrors, as cloud images have it
                uri = Path(uri.removeprefix("mirror+file:").rstrip("/")).read_text().split()[0]
            return uri
    raise UnavailableError("no Debian mirror is configured in /etc/apt")


def apt_settings() -> list[str]:
    lines = run("apt-config", "dump").stdout.splitlines()
    return [line for line in lines if APT_TAKEN_OVER.match(line) and not line.endswith('"";')]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if TAKEN_OVER.fullmatch(name)}


def ca_certificates() -> dict[str, str]:
    certificates = Path("/usr/local/share/ca-certificates").glob("*.crt")
    return {path.name: path.read_text() for path in sorted(certificates)}


def architecture() -> str:
    return run("dpkg", "--print-architecture").stdout.strip()


def resolv_conf() -> str:
    # systemd-resolved's own file names a resolver on loopback, which no guest can reach.
    upstream = Path("/run/systemd/resolve/resolv.conf")
    return (upstream if upstream.exists() else Path("/etc/resolv.conf")).read_text()


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def last_line(error: CommandError) -> str:
    lines = error.output.strip().splitlines()
    complaints = [line for line in lines if line.startswith("E:")]
    return (complaints or lines or [str(error)])[-1]


def _release() -> dict[str, str]:
    return platform.freedesktop_os_release()

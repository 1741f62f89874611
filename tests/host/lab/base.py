"""The tree every host starts from: Debian 13 with SSH and Python."""

import inspect
from pathlib import Path

from . import cache, debian, machine

INSTALLED = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "libpam-systemd",
    "openssh-server",
    "python3",
    "systemd",
    "systemd-sysv",
)
# Only in apt's cache, so that a deployment's install step is quick; the host stays bare.
DOWNLOADED = (
    "catatonit",
    "crun",
    "curl",
    "dbus-user-session",
    "passt",
    "podman",
    "python3-venv",
    "sudo",
    "uidmap",
)
# None of them can work in a guest, and a failed one makes the whole host "degraded".
MASKED = (
    "systemd-modules-load.service",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
)
DEVICE_MODES = """\
d /dev/net 0755
z /dev/net/tun 0666
z /dev/fuse 0666
"""


def tarball() -> Path:
    files = _files()
    recipe = [Path(__file__).read_text(), inspect.getsource(debian), files, machine.mirror()]
    return cache.kept("base.tar.zst", recipe, lambda path: _make(path, files))


def _make(path: Path, files: dict[str, str]) -> None:
    overlay = path.parent / "overlay"
    for name, text in files.items():
        file = overlay / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    download = f"apt-get -qq install --yes --no-install-recommends -d {' '.join(DOWNLOADED)}"
    debian.tarball(
        path,
        "minbase",
        INSTALLED,
        "--skip=cleanup/apt/cache",
        f"--customize-hook=sync-in {overlay} /",
        '--customize-hook=chroot "$1" update-ca-certificates',
        f'--customize-hook=chroot "$1" systemctl mask --quiet {" ".join(MASKED)}',
        '--customize-hook=chroot "$1" systemctl enable --quiet ssh systemd-networkd',
        f'--customize-hook=chroot "$1" sh -c "apt-get clean && {download}"',
    )


def _files() -> dict[str, str]:
    """What guests take over from this machine, and what lets Podman work in them."""
    variables = machine.environment().items()
    certificates = machine.ca_certificates().items()
    return {
        "etc/apt/apt.conf.d/99lab": "".join(f"{line}\n" for line in machine.apt_settings()),
        "etc/environment": "".join(f"{name}={value}\n" for name, value in variables),
        "etc/tmpfiles.d/lab.conf": DEVICE_MODES,
    } | {f"usr/local/share/ca-certificates/{name}": text for name, text in certificates}

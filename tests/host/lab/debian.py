"""Debian trees, as tarballs, from the mirror this machine uses."""

from collections.abc import Sequence
from pathlib import Path

from . import machine
from .command import run
from .errors import CommandError, UnavailableError

SUITE = "trixie"
LEFT_OUT = ("doc", "info", "locale", "man")
LIMIT_S = 900


def tarball(path: Path, variant: str, packages: Sequence[str], *options: str) -> None:
    """`options` are mmdebstrap's; the end of `path`'s name chooses the compression."""
    mirror = machine.mirror()
    try:
        run(
            # Not in /tmp, which may be small and in memory.
            *("env", f"TMPDIR={path.parent}"),
            *("mmdebstrap", "--quiet", f"--variant={variant}", "--mode=root"),
            *("--keyring=/usr/share/keyrings", f"--include={','.join(packages)}"),
            *(f"--aptopt={line}" for line in machine.apt_settings()),
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
            *options,
            *(SUITE, str(path), mirror),
            title="mmdebstrap",
            timeout_s=LIMIT_S,
        )
    except CommandError as error:
        reason = machine.last_line(error)
        raise UnavailableError(f"no Debian {SUITE} from {mirror}: {reason}") from error

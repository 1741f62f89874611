"""Whether this is the account that a host's settings are for."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from acekeeper.errors import BadSetting


def refuse_another(environ: Mapping[str, str]) -> None:
    """Nobody else's systemd has the engines: not root's either, who can read the file. It is for
    its group; where it cannot be seen, its directory is."""
    if environ.get("RUNTIME") != "quadlet" or not environ.get("SETTINGS_FILE"):
        return
    file = Path(environ["SETTINGS_FILE"])
    for place in (file, *file.parents):
        with suppress(OSError):
            group = place.stat().st_gid
            may = os.access(place, os.R_OK)
            if may and (os.geteuid() != 0 or group == 0 or place != file):
                return
            raise BadSetting(
                f"{file} is for the account {_name(place, group)}, and this is another",
                "Run /usr/local/bin/acekeeper, which becomes that one if you may",
            )


def _name(place: Path, group: int) -> str:
    try:
        return place.group()
    except KeyError:
        return str(group)

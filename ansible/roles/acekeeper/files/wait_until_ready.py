#!/usr/bin/python3
"""Waits until acekeeper is ready, and Acexy where it is asked for.

    wait_until_ready.py ACCOUNT SECONDS [--version VERSION] [--engine] [--acexy URL]

Prints what /health/ready says then. With a version, it gives up as soon as
acekeeper failed twice to start.
"""

import argparse
import json
import os
import pwd
import re
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

SETTINGS = Path("/etc/acekeeper/settings.env")
ENGINE_WITHIN_S = 60.0
ACEXY_WITHIN_S = 20.0
PAUSE_S = 0.2
STARTS_THAT_FAIL = 2
ask = build_opener(ProxyHandler({})).open


class GaveUp(Exception):
    """Nothing will come of waiting on."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("account", type=pwd.getpwnam)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--version", default="")
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--acexy", default="")
    given = parser.parse_args()
    # What is in force, whatever the inventory says by now.
    said = re.search(r'(?m)^APP_PORT="?(\d+)', SETTINGS.read_text())
    base = f"http://127.0.0.1:{said[1] if said else 8000}"
    try:
        health = wait(
            "it was not ready", given.seconds, lambda: ready(base, given.account, given.version)
        )
        if given.engine:
            wait("no engine was healthy", ENGINE_WITHIN_S, lambda: healthy(base))
        if given.acexy:
            what = f"Acexy did not answer at {given.acexy}"
            wait(what, ACEXY_WITHIN_S, lambda: ask(given.acexy, timeout=5))
    except GaveUp as error:
        sys.exit(str(error))
    print(json.dumps(health))


def wait(what: str, seconds: float, step: Callable[[], Any]) -> Any:
    """For something true."""
    due = time.monotonic() + seconds
    why = ""
    while time.monotonic() < due:
        try:
            if found := step():
                return found
        except (OSError, HTTPException, ValueError) as error:
            why = f": {error}"
        time.sleep(PAUSE_S)
    raise GaveUp(f"{what} within {seconds:g} s{why}")


def ready(base: str, account: pwd.struct_passwd, version: str) -> Any:
    unit = show(account)
    if unit["Job"] and unit["ActiveState"] != "activating":  # the restart is yet to come
        return None
    if unit["ActiveState"] != "active":
        # The count goes on where systemd itself started what has been put back meanwhile.
        if version and int(unit["NRestarts"]) >= STARTS_THAT_FAIL:
            raise GaveUp(f"it failed to start {STARTS_THAT_FAIL} times")
        return None
    with ask(f"{base}/health/ready", timeout=5) as answer:
        health = json.load(answer)
    if not health["ready"] or (version and health.get("version") != version):
        raise ValueError(f"/health/ready says {health}")
    return health


def healthy(base: str) -> bool:
    """Or the host is to have none, since an operator empties it."""
    with ask(f"{base}/orchestrator/status", timeout=5) as answer:
        status = json.load(answer)
    return bool(status["engines"]["healthy"] or status.get("maintenance"))


def show(account: pwd.struct_passwd) -> dict[str, str]:
    names = ("ActiveState", "Job", "NRestarts")
    shown = subprocess.run(
        ["systemctl", "--user", "show", f"--property={','.join(names)}", "acekeeper.service"],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        env={**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{account.pw_uid}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = dict(line.partition("=")[::2] for line in shown.stdout.splitlines())
    return {name: said.get(name, "") for name in names}


if __name__ == "__main__":
    main()

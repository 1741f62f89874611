"""The user: whether its units outlive a login, and whether it has ids to give to containers."""

import os
import pwd
from collections.abc import Iterator

from acekeeper.doctor.finding import Finding, complaint, run, well, wrong
from acekeeper.settings import Settings

_IDS_NEEDED = 65536


def check(_: Settings) -> Iterator[Finding]:
    user = pwd.getpwuid(os.getuid()).pw_name
    yield _lingers(user)
    yield _subordinate(user, "uids", "/etc/subuid")
    yield _subordinate(user, "gids", "/etc/subgid", "-g")


def _lingers(user: str) -> Finding:
    advice = f"Run `loginctl enable-linger {user}` as root"
    asked = run("loginctl", "show-user", user, "--property=Linger", "--value")
    if asked.failed:
        return complaint(f"user {user}", asked, advice)
    if asked.out != "yes":
        return wrong(f"user {user} does not linger: its engines end with its last login", advice)
    return well(f"user {user} lingers")


def _subordinate(user: str, what: str, file: str, *options: str) -> Finding:
    # Lines as "0: acekeeper 100000 65536".
    asked = run("getsubids", *options, user)
    counts = [line.split()[-1] for line in asked.out.splitlines() if line]
    count = sum(int(number) for number in counts if number.isdecimal())
    if asked.failed and count == 0 and "not installed" in asked.complaint:
        return complaint(f"subordinate {what}", asked, "Install the package uidmap")
    if count < _IDS_NEEDED:
        return wrong(
            f"user {user} has {count} subordinate {what}, and containers need {_IDS_NEEDED}",
            f"Give it a range in {file}, then run `podman system migrate` as {user}",
        )
    return well(f"user {user} has {count} subordinate {what}")

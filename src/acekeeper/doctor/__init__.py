"""`acekeeper doctor`: what is wrong on this host, a line each, and what to do about it, or done."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from acekeeper.client import call
from acekeeper.doctor import (
    account,
    files,
    fleet,
    leftovers,
    network,
    podman,
    processes,
    service,
    units,
    vpns,
)
from acekeeper.doctor.finding import Finding, run, well, wrong
from acekeeper.errors import AcekeeperError, BadSetting
from acekeeper.settings import Runtime, Settings, load

__all__ = ["Finding", "examine", "mend"]

_ROUNDS = 5  # what one fix uncovers is the next one's
_WITHIN_S = 3600  # an image is brought
_SHOWN = 200  # characters of a command

_CHECKS: Mapping[Runtime, tuple[Callable[[Settings], Iterator[Finding]], ...]] = {
    "process": (files.check, processes.check, fleet.check, service.check),
    "quadlet": (
        files.check,
        leftovers.check,
        account.check,
        units.check,
        podman.check,
        network.check,
        vpns.check,
        fleet.check,
        service.check,
    ),
}


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        settings = load(environ)
    except BadSetting as error:
        yield wrong(error.message, error.hint or "docs/settings.md says what is allowed")
        return
    # `sudo -u` comes without it, and systemctl and podman need it.
    os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    yield well(f"the settings are valid ({settings.settings_file or 'no settings file'})")
    for check in _CHECKS[settings.runtime]:
        try:
            yield from check(settings)
        except AcekeeperError as error:
            yield wrong(error.message, error.hint or "Mend that first")


def mend(environ: Mapping[str, str]) -> Iterator[str]:
    """Does what the findings say that it does, and says each step."""
    tried = set[str]()
    for _ in range(_ROUNDS):
        found = [f for f in examine(environ) if f.fix and f.text not in tried]
        if not found:
            break
        for finding in found:
            tried.add(finding.text)
            yield from _mend(finding)
    if tried:
        with suppress(AcekeeperError):  # it may not run
            call(load(environ), "POST", "/sweeps/scale")  # so that it knows at once


def _mend(finding: Finding) -> Iterator[str]:
    for command in finding.fix:
        ran = run(*command, within_s=_WITHIN_S)
        shown = shlex.join(command)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}…"
        if ran.failed:
            yield f"failed {finding.text}: `{shown}`: {ran.complaint or ran.status}"
            return
        yield f"fixed  {finding.text}: `{shown}`"

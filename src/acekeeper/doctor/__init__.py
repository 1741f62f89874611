"""`acekeeper doctor`: what is wrong on this host, a line each, and what to do about it."""

import os
from collections.abc import Callable, Iterator, Mapping

from acekeeper.doctor import account, files, network, podman, processes, service, units
from acekeeper.doctor.finding import Finding, well, wrong
from acekeeper.errors import AcekeeperError, BadSetting
from acekeeper.settings import Runtime, Settings, load

__all__ = ["Finding", "examine"]

_CHECKS: Mapping[Runtime, tuple[Callable[[Settings], Iterator[Finding]], ...]] = {
    "process": (files.check, processes.check, service.check),
    "quadlet": (
        files.check,
        account.check,
        units.check,
        podman.check,
        network.check,
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

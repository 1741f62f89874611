"""Why an engine did not start or is no more, by what systemd recorded of its unit."""

import os
import signal
from contextlib import suppress
from typing import NamedTuple

from acekeeper.adapters.unit import Unit


class Why(NamedTuple):
    cause: str
    detail: str


# By the unit's result, when that says more than the end of its main process.
_RESULTS = {
    "oom-kill": Why("oom", "the kernel ended it for want of memory"),
    "timeout": Why("timeout", "it was not ready, or not gone, in the unit's time"),
    "resources": Why("resources", "systemd could not run it: its environment file, or a limit"),
    "protocol": Why("protocol", "Podman ended without saying that the engine runs"),
}
# While the unit starts, its main process is Podman; later it is the engine's monitor, which ends
# with the status of the engine.
_PODMAN = {
    125: Why("image", "Podman could not make its container: image or storage (status 125)"),
    126: Why("network", "Podman could not run its container: ports or network (status 126)"),
    127: Why("network", "Podman lacks a program: network, runtime or the image's (status 127)"),
}


def why(unit: Unit, *, ran: bool, asked: bool) -> Why:
    """`ran`: it was ready once. `asked`: somebody asked systemd for its end."""
    if unit.result in _RESULTS:
        return _RESULTS[unit.result]
    if asked:
        return Why("stopped", "systemd was asked to")
    if unit.exit_code in (os.CLD_KILLED, os.CLD_DUMPED):
        return Why("killed", f"its monitor got {_signal(unit.exit_status)}")
    if unit.exit_code != os.CLD_EXITED:
        return Why("gone", unit.result)
    if not ran and unit.exit_status in _PODMAN:
        return _PODMAN[unit.exit_status]
    if unit.exit_status > 128:
        return Why("killed", _signal(unit.exit_status - 128))
    return Why("exited", f"code {unit.exit_status}")


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"

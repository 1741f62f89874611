"""A unit of systemd's, by its properties: why its engine did not start or is no more, and its name
in the paths of D-Bus."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from acekeeper.adapters.proc import signal_name

GONE = frozenset({"inactive", "failed"})  # of ActiveState: nothing is left but what is recorded


class Unit(NamedTuple):
    """A service as its last change left it."""

    name: str
    active: str
    invocation: str
    busy: bool  # a job on it waits or runs
    main_pid: int
    result: str
    exit_code: int  # how its main process ended, as waitid(2) has it; 0 while it runs
    exit_status: int
    ended: float  # when its main process did, on the monotonic clock; 0 while it runs

    @property
    def is_gone(self) -> bool:
        return self.active in GONE

    @property
    def is_dead(self) -> bool:
        """What it ran has ended; systemd may still be clearing up."""
        return self.is_gone or (self.active == "deactivating" and self.main_pid == 0)


def decode(name: str, unit: Mapping[str, Any], service: Mapping[str, Any]) -> Unit:
    """From the properties of both of its interfaces."""
    return Unit(
        name=name,
        active=unit["ActiveState"].value,
        invocation=bytes(unit["InvocationID"].value).hex(),
        busy=unit["Job"].value[0] != 0,
        main_pid=service["MainPID"].value,
        result=service["Result"].value,
        exit_code=service["ExecMainCode"].value,
        exit_status=service["ExecMainStatus"].value,
        ended=service["ExecMainExitTimestampMonotonic"].value / 1e6,
    )


def path_of(unit: str) -> str:
    """The last part of its path."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in unit)


def name_of(path: str) -> str:
    return re.sub("_([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), path.rpartition("/")[2])


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
    125: Why("image", "Podman could not make its container: image or storage damaged (status 125)"),
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
        return Why("killed", f"its monitor got {signal_name(unit.exit_status)}")
    if unit.exit_code != os.CLD_EXITED:
        return Why("gone", unit.result)
    if not ran and unit.exit_status in _PODMAN:
        return _PODMAN[unit.exit_status]
    if unit.exit_status > 128:
        return Why("killed", signal_name(unit.exit_status - 128))
    return Why("exited", f"code {unit.exit_status}")

"""A unit of systemd's, by its properties, and its name in the paths of D-Bus."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

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

"""Faults that do something by themselves as long as they last: each is a thread."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .faults import Fault

CACHE_LIMIT = 2_266_017_044  # bytes; `stat` says the same
_STEP_S = 0.25
_MIB = 1 << 20


class Limits(NamedTuple):
    memory: int  # bytes
    cache_dir: str


def carry(fault: Fault, limits: Limits) -> None:
    """Begin what the fault does by itself, if it is one of these."""
    burden = _BURDENS.get(fault.kind)
    if burden is not None:
        threading.Thread(target=burden, args=(fault, limits), daemon=True).start()


def _crash(fault: Fault, _: Limits) -> None:
    if not fault.is_over(fault.amount):
        os._exit(1)


def _grow_memory(fault: Fault, limits: Limits) -> None:
    grown = [b""]
    while not fault.is_over(_STEP_S):
        grown.append(b"\xff" * _step_bytes(fault))  # written to, so that it is resident
        if _resident() > limits.memory:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does to a container


def _grow_cache(fault: Fault, limits: Limits) -> None:
    try:
        os.makedirs(limits.cache_dir, exist_ok=True)  # noqa: PTH103  pathlib weighs too much here
        with open(f"{limits.cache_dir}/grown", "ab", buffering=0) as file:  # noqa: PTH123
            while not fault.is_over(_STEP_S) and file.tell() < CACHE_LIMIT:
                file.write(bytes(min(_step_bytes(fault), CACHE_LIMIT - file.tell())))
    except OSError:
        pass  # the disk is full, or not ours: it grows no more


def _burn_cpu(fault: Fault, _: Limits) -> None:
    period = 0.05
    while not fault.is_over(period * (1 - fault.amount / 100)):
        busy_until = time.monotonic() + period * fault.amount / 100
        while time.monotonic() < busy_until:
            pass


def _leak_fds(fault: Fault, _: Limits) -> None:
    leaked: list[int] = []
    due = 0.0
    try:
        while not fault.is_over(_STEP_S):
            due += fault.amount / 60 * _STEP_S
            while len(leaked) < int(due):
                leaked.append(os.eventfd(0, os.EFD_CLOEXEC))
    except OSError:
        # At the limit, for as long as the fault lasts.
        while not fault.is_over(60):
            pass
    finally:
        for descriptor in leaked:
            os.close(descriptor)


_BURDENS: dict[str, Callable[[Fault, Limits], None]] = {
    "crash_after": _crash,
    "grow_memory": _grow_memory,
    "grow_cache": _grow_cache,
    "burn_cpu": _burn_cpu,
    "leak_fds": _leak_fds,
}


def _step_bytes(fault: Fault) -> int:
    return int(fault.amount * _MIB / 60 * _STEP_S)


def _resident() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

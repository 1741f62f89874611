"""Ports nobody uses, for what a test starts. Each of pytest's workers chooses among ports of its
own: what is free when it is chosen is so still when it is bound, however late. A worker chooses a
port again when it has been through all of its own, but never one that a module is to `keep`, which
chose it for later when it was imported."""

import os
import random
import socket
from collections import deque
from contextlib import ExitStack
from itertools import cycle, islice

from acekeeper.core.names import Ports

_LOWEST, _BEYOND = 20_000, 32_000  # below the ephemeral ports of Linux
_RANGES = {"PORT_RANGE_HOST": 0, "ENGINE_HTTPS_BASE": 1, "ENGINE_P2P_BASE": 2, "ENGINE_API_BASE": 3}


def engine_ports(slots: int, *, keep: bool = False) -> dict[str, str]:
    """Settings for `slots` engines on ports that are free now."""
    base = _free(4 * slots, keep)[0]
    firsts = {name: base + n * slots for name, n in _RANGES.items()}
    settings = {name: str(first) for name, first in firsts.items()}
    return settings | {"PORT_RANGE_HOST": f"{base}-{base + slots - 1}"}


def free_ports() -> Ports:
    """Of one engine."""
    return Ports(*_free(4))


def free_port(*, keep: bool = False) -> int:
    return _free(1, keep)[0]


def _own() -> range:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (_BEYOND - _LOWEST) // workers
    return range(_LOWEST + number * size, _LOWEST + (number + 1) * size)


_OWN = _own()
_turn = cycle(_OWN)  # so that the ports of the test before rest
# From anywhere: the tests of another checkout may go on meanwhile.
deque(islice(_turn, random.SystemRandom().randrange(len(_OWN))), maxlen=0)


_kept: set[int] = set()


def _free(count: int, keep: bool = False) -> range:
    """So many, one after another."""
    while True:
        base = next(_turn)
        ports = range(base, base + count)
        if ports[-1] in _OWN and _kept.isdisjoint(ports) and _are_free(ports):
            _kept.update(ports if keep else ())
            deque(islice(_turn, count - 1), maxlen=0)
            return ports


def _are_free(ports: range) -> bool:
    with ExitStack() as stack:
        try:
            for port in ports:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

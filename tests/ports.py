"""Ports nobody uses, for engines of a test."""

import random
import socket
from contextlib import ExitStack

from acekeeper.core.names import Ports

_LOWEST, _BEYOND = 20_000, 32_000  # below what Linux gives to outgoing connections
_RANGES = {"PORT_RANGE_HOST": 0, "ENGINE_HTTPS_BASE": 1, "ENGINE_P2P_BASE": 2, "ENGINE_API_BASE": 3}


def engine_ports(slots: int) -> dict[str, str]:
    """Settings for `slots` engines on ports that are free now."""
    chooser = random.SystemRandom()  # pytest-randomly seeds the other one alike in every process
    while True:
        base = chooser.randrange(_LOWEST, _BEYOND - 4 * slots)
        if _are_free(range(base, base + 4 * slots)):
            break
    firsts = {name: base + n * slots for name, n in _RANGES.items()}
    settings = {name: str(first) for name, first in firsts.items()}
    return settings | {"PORT_RANGE_HOST": f"{base}-{base + slots - 1}"}


def free_ports() -> Ports:
    """Of one engine."""
    with socket.socket() as a, socket.socket() as b, socket.socket() as c, socket.socket() as d:
        held = (a, b, c, d)
        for each in held:
            each.bind(("127.0.0.1", 0))
        return Ports(*(each.getsockname()[1] for each in held))


def _are_free(ports: range) -> bool:
    with ExitStack() as stack:
        try:
            for port in ports:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

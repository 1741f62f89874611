"""Waiting for what a host does not signal to anybody outside it."""

import time
from collections.abc import Callable

LIMIT_S = 300.0  # of what takes seconds: how slow the machine is must not matter


def until(holds: Callable[[], bool]) -> float:
    """The seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + LIMIT_S, f"not within {LIMIT_S:.0f} s"
        time.sleep(0.1)
    return time.monotonic() - began

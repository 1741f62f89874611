"""Reads of the database beside the writer, which can keep them out."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Readers:
    """SQLite shares one -shm among all connections of a process. So one that was taken away is
    left only when none of them is open, and the writer keeps the others out meanwhile."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._are_out = False

    @contextmanager
    def reading(self, within: float) -> Iterator[None]:
        """TimeoutError when none may read for that long."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._are_out, within):
                raise TimeoutError
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def kept_out(self, within: float) -> Iterator[None]:
        """After `within` seconds also while one still reads: its disk hangs."""
        deadline = time.monotonic() + within
        with self._changed:
            self._are_out = True
            self._changed.wait_for(lambda: not self._inside, deadline - time.monotonic())
        try:
            yield
        finally:
            with self._changed:
                self._are_out = False
                self._changed.notify_all()

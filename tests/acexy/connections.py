"""The connections that are open, to viewers and to the engine, so that all end at once."""

import socket
import threading
from contextlib import suppress


class Connections:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._are_cut = False

    def add(self, connection: socket.socket) -> None:
        with self._lock:
            if self._are_cut:
                raise ConnectionAbortedError("all connections are cut")
            self._open = {known for known in self._open if known.fileno() >= 0} | {connection}

    def cut(self) -> None:
        with self._lock:
            self._are_cut = True
            for connection in self._open:
                cut(connection)


def cut(connection: socket.socket) -> None:
    """From any thread: the one that waits there meets the end, and closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

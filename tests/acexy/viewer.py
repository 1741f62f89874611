"""A viewer, which gets a stream block by block."""

import os
import select
import socket
import threading
from contextlib import suppress

TAKES_S = 5.0  # a viewer that does not take a block within this gets no more


class Latch:
    """An event that `poll` can wait for."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        os.close(self._fd)


class Viewer:
    def __init__(self, connection: socket.socket, *, in_chunks: bool) -> None:
        self._connection = connection
        self._in_chunks = in_chunks
        self._lock = threading.Lock()
        self._head = _head(in_chunks=in_chunks)
        self._is_over = False

    def take(self, block: bytes) -> None:
        with self._lock:
            if self._is_over:
                raise BrokenPipeError
            self._connection.settimeout(TAKES_S)
            try:
                self._connection.sendall(self._framed(block))
            except OSError:
                self._is_over = True
                raise

    def wait_for_its_end(self, over: Latch) -> None:
        """It leaves, or the stream is over."""
        poll = select.poll()
        poll.register(self._connection, select.POLLRDHUP)
        poll.register(over, select.POLLIN)
        poll.poll()

    def end(self) -> None:
        with self._lock, suppress(OSError):
            if not self._is_over:
                self._is_over = True
                self._connection.sendall(self._framed(b""))

    def _framed(self, block: bytes) -> bytes:
        """The last chunk is the empty one."""
        head, self._head = self._head, b""
        return head + (b"%x\r\n%s\r\n" % (len(block), block) if self._in_chunks else block)


def _head(*, in_chunks: bool) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: video/MP2T", "Connection: close"]
    if in_chunks:
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join([*lines, "", ""]).encode()

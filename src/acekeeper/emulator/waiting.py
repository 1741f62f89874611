"""Waiting for an event, a client's departure or a deadline, whichever is first, without polling."""

import os
import select
import socket
import struct
import time


class Latch:
    """An event that `poll` can wait for together with a socket; once set it stays set."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.is_set = False

    def set(self) -> None:
        self.is_set = True
        os.eventfd_write(self._fd, 1)  # nobody reads it, so every waiter sees it

    def wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self, select.POLLIN)
        poll.poll(_milliseconds(seconds))

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        os.close(self._fd)


def pause(client: socket.socket, seconds: float | None, *latches: Latch) -> bool:
    """Wait until a latch is set or the time is over; False as soon as the client is gone."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    for latch in latches:
        poll.register(latch, select.POLLIN)
    return all(fd != client.fileno() for fd, _ in poll.poll(_milliseconds(seconds)))


def send(client: socket.socket, data: bytes, latch: Latch) -> bool:
    """Send all of it; False when the client left, or the latch was set, before the last byte."""
    poll = select.poll()
    poll.register(client, select.POLLOUT | select.POLLRDHUP)
    poll.register(latch, select.POLLIN)
    view = memoryview(data)
    while view:
        ready = dict(poll.poll())
        if latch.fileno() in ready or ready[client.fileno()] != select.POLLOUT:
            return False
        view = view[client.send(view, socket.MSG_DONTWAIT) :]
    return True


def _milliseconds(seconds: float | None) -> int | None:
    # poll counts whole ones and 0 is "do not wait": round up, so nobody spins at the end.
    return None if seconds is None else max(0, int(seconds * 1000) + 1)


def reset_on_close(client: socket.socket) -> None:
    """The client learns that it lost the connection, and what it has not taken yet is gone."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())

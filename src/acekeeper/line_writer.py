"""Whole lines to a descriptor, by a thread of their own: a reader that stands still stops nobody.

Descriptors are shared with other programs (a terminal is), so they are not made non-blocking.
"""

import atexit
import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue

_MOST_LINES = 10_000  # that wait to be written
_MOST_BYTES = 4 << 20
_AT_ONCE = 256  # lines of one write
_LEFT_WITHIN_S = 1.0  # what still waits when the process ends


def takes(fd: int) -> bool:
    """Whether a write of one short line returns at once, if only with an error."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


class LineWriter:
    """Writes lines in their order. `lost` counts those for which there was no room, and those that
    could not be written; `tell_lost` is told, by the thread, as soon as lines are taken again."""

    def __init__(self, fd: int, tell_lost: Callable[[int], None]) -> None:
        self._fd = fd
        self._tell_lost = tell_lost
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        # Each is counted by one side alone: who puts lines (one at a time), or who writes them.
        self._put_lines = self._put_bytes = self._refused = 0
        self._done_lines = self._done_bytes = self._failed = 0
        self._told = 0
        self._torn = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def lost(self) -> int:
        return self._refused + self._failed

    def put(self, line: bytes) -> None:
        if self._is_full(len(line)) and threading.get_ident() != self._thread.ident:
            self._refused += 1
        else:
            self._put_lines += 1
            self._put_bytes += len(line)
            self._queue.put(line)

    def refuse(self) -> None:
        """Counts a line that could not even be made."""
        self._refused += 1

    def close(self) -> None:
        """Returns when all is written, or soon if nobody reads."""
        self._queue.put(None)
        self._thread.join(_LEFT_WITHIN_S)

    def _is_full(self, more: int) -> bool:
        return (
            self._put_lines - self._done_lines >= _MOST_LINES
            or self._put_bytes - self._done_bytes + more > _MOST_BYTES
        )

    def _run(self) -> None:
        closing = False
        lines: list[bytes] = []
        while not closing or not self._queue.empty():
            line = self._queue.get()
            if line is None:
                closing = True
            else:
                lines.append(line)
                if len(lines) < _AT_ONCE and not self._queue.empty():
                    continue
            # What could not be written is told behind the next line that can.
            if self._write(lines) and (lost := self.lost - self._told):
                self._told += lost
                self._tell_lost(lost)
            self._done_lines += len(lines)
            self._done_bytes += sum(map(len, lines))
            lines.clear()

    def _write(self, lines: list[bytes]) -> bool:
        data = b"".join([b"\n", *lines] if self._torn else lines)
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # another program has made it non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError:
                if len(rest) < len(data):
                    self._torn = data[-len(rest) - 1] != ord("\n")
                self._failed += min(bytes(rest).count(b"\n"), len(lines))
                return False
        self._torn = False
        return True

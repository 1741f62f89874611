"""Which faults are in force. They last until they are cleared or their time is over.

What happens once, at the moment it is asked for (crash, lose sessions), is in admin.py.
"""

import socket
import threading
import time

from .content import infohash_of_content_id
from .kinds import KINDS, Part
from .waiting import Latch, pause, remaining


class Fault:
    def __init__(
        self, kind: str, content: str | None, duration: float | None, amount: float = 0
    ) -> None:
        self.kind = kind
        self.content = content
        self.amount = amount
        self.began_at = time.time()
        self.deadline = None if duration is None else time.monotonic() + duration
        self.lifted = Latch()
        self.met = 0  # how often it was counted, by `Faults.count`

    @property
    def remaining(self) -> float | None:
        """Seconds, or None when it lasts until it is cleared."""
        return None if self.deadline is None else remaining(self.deadline)

    def is_over(self, within: float) -> bool:
        """Wait so long for its end."""
        left = self.remaining
        self.lifted.wait(within if left is None else min(within, left))
        return self.lifted.is_set or self.remaining == 0


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def set(self, fault: Fault) -> None:
        """One of the same kind and content is replaced."""
        with self._lock:
            same = [f for f in self._faults if (f.kind, f.content) == (fault.kind, fault.content)]
            self._faults.append(fault)
            self._lift(same)

    def clear(self, kind: str | None = None) -> None:
        with self._lock:
            self._lift([f for f in self._faults if kind in (None, f.kind)])

    def active(self) -> list[Fault]:
        with self._lock:
            self._lift([f for f in self._faults if f.remaining == 0])
            return [*self._faults]

    def of(self, kind: str, infohash: str | None = None) -> Fault | None:
        return next(
            (f for f in self.active() if f.kind == kind and names(f.content, infohash)), None
        )

    def count(self, kind: str, infohash: str) -> bool:
        """Whether this is the time, out of so many, that a fault waits for."""
        fault = self.of(kind, infohash)
        if fault is None:
            return False
        with self._lock:
            fault.met += 1
            return fault.met >= fault.amount

    def holding(self, part: Part, infohash: str | None = None) -> Fault | None:
        holding = (f for f in self.active() if part in KINDS[f.kind].holds)
        return next((f for f in holding if names(f.content, infohash)), None)

    def wait_until_free(
        self, client: socket.socket, part: Part, infohash: str | None = None, *ended: Latch
    ) -> bool:
        """False when the client gave up first, or what it waited for ended."""
        while (fault := self.holding(part, infohash)) is not None:
            if not pause(client, fault.remaining, fault.lifted, *ended):
                return False
            if any(latch.is_set for latch in ended):
                return False
        return True

    def _lift(self, faults: list[Fault]) -> None:
        for fault in faults:
            self._faults.remove(fault)
            fault.lifted.set()


def names(content: str | None, infohash: str | None) -> bool:
    """Whether a fault's content, an infohash or a content id or None for all, means this one."""
    return content is None or infohash in (content, infohash_of_content_id(content))

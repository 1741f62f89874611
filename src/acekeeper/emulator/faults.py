"""Faults that last until they are cleared or their time is over: one entry each in KINDS.

What happens once, at the moment it is asked for (crash, lose sessions), is in admin.py.
"""

import enum
import socket
import threading
import time
from typing import Final, NamedTuple

from .content import infohash_of_content_id
from .waiting import Latch, pause, remaining


class Part(enum.Enum):
    """A part of the engine that a fault can hold up."""

    SERVICE = enum.auto()  # get_version, get_status and the other calls about the engine itself
    PLAYBACK = enum.auto()  # starting, reading, asking about and stopping playback
    STREAM = enum.auto()  # the bytes of a stream that plays


class Kind(NamedTuple):
    holds: frozenset[Part]
    per_content: bool


KINDS: Final = {
    # The process lives and accepts TCP, but nothing ever comes out of it.
    "hang": Kind(frozenset(Part), per_content=False),
    # No request is answered, but who plays goes on playing.
    "hang_api": Kind(frozenset({Part.SERVICE, Part.PLAYBACK}), per_content=False),
    # It says that it is well, but nothing new plays.
    "hang_playback": Kind(frozenset({Part.PLAYBACK}), per_content=True),
    # The reader stays connected and gets no bytes.
    "stall": Kind(frozenset({Part.STREAM}), per_content=True),
}


class Fault:
    def __init__(self, kind: str, content: str | None, duration: float | None) -> None:
        self.kind = kind
        self.content = content
        self.deadline = None if duration is None else time.monotonic() + duration
        self.lifted = Latch()

    @property
    def remaining(self) -> float | None:
        """Seconds, or None when it lasts until it is cleared."""
        return None if self.deadline is None else remaining(self.deadline)

    def holds(self, part: Part, infohash: str | None) -> bool:
        return part in KINDS[self.kind].holds and names(self.content, infohash)


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

    def holding(self, part: Part, infohash: str | None = None) -> Fault | None:
        return next((f for f in self.active() if f.holds(part, infohash)), None)

    def wait_until_free(
        self, client: socket.socket, part: Part, infohash: str | None = None
    ) -> bool:
        """False when the client gave up first."""
        while (fault := self.holding(part, infohash)) is not None:
            if not pause(client, fault.lifted, fault.remaining):
                return False
        return True

    def _lift(self, faults: list[Fault]) -> None:
        for fault in faults:
            self._faults.remove(fault)
            fault.lifted.set()


def names(content: str | None, infohash: str | None) -> bool:
    """Whether a fault's content, an infohash or a content id or None for all, means this one."""
    return content is None or infohash in (content, infohash_of_content_id(content))

"""What clients told and what was acknowledged, and what has to be listed after that.

Made from the wire contract alone: nothing of acekeeper's own rules is in it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from itertools import pairwise
from typing import Any, Final


class Kind(StrEnum):
    STARTED = "started"
    ENDED = "ended"


ABSENT: Final = "absent"
_PROMISED_FOR: Final = 59.0  # seconds; a second less than the contract, for the answer's way to us
_ON_ITS_WAY: Final = 3.0  # for so long a client waits for an answer


class Word(IntEnum):
    """How far an event came. One that was sent and not acknowledged may have arrived or not."""

    UNSAID = 0
    SENT = 1
    ACKNOWLEDGED = 2


@dataclass(slots=True)
class Entry:
    started: Word = Word.UNSAID
    ended: Word = Word.UNSAID

    def fits(self, seen: str, lives: bool) -> bool:
        """Whether a stream may be `seen` so, when its session lives or not.

        The order in which its events came, and how often each came, make no difference."""
        if seen == ABSENT:
            return self.started < Word.ACKNOWLEDGED
        if self.started is Word.UNSAID:
            return False
        if seen == Kind.ENDED:
            return self.ended is not Word.UNSAID or not lives
        return self.ended < Word.ACKNOWLEDGED and lives


class Books:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.acknowledged = 0  # events, repeated ones as often as they were acknowledged

    def sent(self, kind: Kind, stream: str) -> None:
        self._heard(kind, stream, Word.SENT)

    def was_acknowledged(self, kind: Kind, stream: str) -> None:
        self._heard(kind, stream, Word.ACKNOWLEDGED)
        self.acknowledged += 1

    def is_acknowledged(self, kind: Kind, stream: str) -> bool:
        said: Word = getattr(self.entries.get(stream, Entry()), kind.value)
        return said is Word.ACKNOWLEDGED

    def _heard(self, kind: Kind, stream: str, word: Word) -> None:
        entry = self.entries.setdefault(stream, Entry())
        setattr(entry, kind.value, max(getattr(entry, kind.value), word))

    def missing(self, seen: Mapping[str, str]) -> list[str]:
        """Streams whose start was acknowledged and that are nowhere, or whose end was and that
        are not over."""
        return [
            stream
            for stream, entry in self.entries.items()
            if (entry.started is Word.ACKNOWLEDGED and stream not in seen)
            or (entry.ended is Word.ACKNOWLEDGED and seen.get(stream) == Kind.STARTED)
        ]

    def disagreements(
        self, seen: Mapping[str, str], lives: Callable[[str], bool] = lambda _: True
    ) -> list[str]:
        """One line for each stream that is not as it has to be, whatever way."""
        wrong = [
            f"{stream} is {seen.get(stream, ABSENT)}, told: {entry}"
            for stream, entry in self.entries.items()
            if not entry.fits(seen.get(stream, ABSENT), lives(stream))
        ]
        return wrong + [f"{s} is {seen[s]}, never told" for s in seen.keys() - self.entries.keys()]


class Promises:
    """Which engine was promised when, by the wall clock."""

    def __init__(self) -> None:
        self._made: dict[str, list[float]] = {}

    def made(self, container_id: str, at: float) -> None:
        self._made.setdefault(container_id, []).append(at)

    def broken(self, streams: Iterable[Mapping[str, Any]]) -> list[str]:
        """Engines promised again within a minute, unless a stream began there and ended: whoever
        was promised it came and left."""
        used: dict[str, list[tuple[float, float]]] = {}
        for stream in streams:
            if stream["ended_at"] is not None:
                began, ended = (_seconds(stream[name]) for name in ("started_at", "ended_at"))
                used.setdefault(stream["container_id"], []).append((began, ended))
        return [
            f"{container_id} again after {again - first:.1f} s"
            for container_id, times in self._made.items()
            for first, again in pairwise(sorted(times))
            if again - first < _PROMISED_FOR
            and not any(
                first - _ON_ITS_WAY <= began and ended <= again
                for began, ended in used.get(container_id, ())
            )
        ]


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()

"""What clients told and what was acknowledged, and what has to be listed after that.

Made from the wire contract alone: nothing of acekeeper's own rules is in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class Kind(StrEnum):
    STARTED = "started"
    ENDED = "ended"


ABSENT: Final = "absent"


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

"""What has happened in this process, as numbers for the admin port."""

import enum
import threading

from .content import is_id

_CONTENTS_KEPT = 10_000


class Count(enum.StrEnum):
    SESSIONS_OPENED = "sessions_opened"
    SESSIONS_STOPPED = "sessions_stopped"
    SESSIONS_EXPIRED = "sessions_expired"
    SESSIONS_SUPERSEDED = "sessions_superseded"
    SESSIONS_LOST = "sessions_lost"
    READERS_STARTED = "readers_started"
    READERS_REFUSED = "readers_refused"
    SEGMENTS_SENT = "segments_sent"
    UNKNOWN_STATS = "unknown_stats"
    UNKNOWN_STOPS = "unknown_stops"
    LOADS_FAILED = "loads_failed"
    REQUESTS = "requests"
    BYTES_SENT = "bytes_sent"


class Counters:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Count, 0)
        self._of_content: dict[str, dict[Count, int]] = {}

    def add(self, count: Count, infohash: str | None, by: int = 1) -> None:
        with self._lock:
            self._counts[count] += by
            if infohash is not None and is_id(infohash):
                self._counts_of(infohash)[count] += by

    def snapshot(self, infohash: str | None = None) -> dict[str, int]:
        """Of one content, or of all together."""
        with self._lock:
            counts = self._counts if infohash is None else self._of_content.get(infohash, {})
            return {count.value: counts.get(count, 0) for count in Count}

    def _counts_of(self, infohash: str) -> dict[Count, int]:
        if infohash not in self._of_content and len(self._of_content) == _CONTENTS_KEPT:
            del self._of_content[next(iter(self._of_content))]
        return self._of_content.setdefault(infohash, dict.fromkeys(Count, 0))

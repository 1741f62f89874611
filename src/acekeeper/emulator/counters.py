"""What has happened in this process, as numbers for the admin port."""

import enum
import threading


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

    def add(self, count: Count, by: int = 1) -> None:
        with self._lock:
            self._counts[count] += by

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return {count.value: number for count, number in self._counts.items()}

"""Playback sessions: one per content. Opening another for the same content ends the one before."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .counters import Count, Counters
from .waiting import Latch

PREBUFFER_S = 0.6
PREBUFFER_BYTES = 9 << 19  # 4.5 MiB; Acexy's own buffer holds 4 MiB
_ALIASES_KEPT = 16


class Session:
    def __init__(self, infohash: str, earlier_tokens: list[str], *, is_hls: bool) -> None:
        self.infohash = infohash
        self.is_hls = is_hls
        self.playback_session_id = os.urandom(20).hex()
        self.token = os.urandom(16).hex()
        # What the engine does: a superseded session's URLs keep working for stat and stop, and
        # then speak of the session that replaced it.
        self.tokens = [*earlier_tokens[1 - _ALIASES_KEPT :], self.token]
        self.file_name = f"0.{int.from_bytes(os.urandom(6), 'big'):015d}"
        self.opened = time.monotonic()
        self.opened_at = time.time()
        self.ended = Latch()
        self.readers = 0
        self.has_played = False
        self.last_read = self.opened
        self.live_seconds = 0.0  # how much of the broadcast has been fetched
        self.fetched_until = self.opened

    @property
    def prebuffered(self) -> float:
        """The monotonic time at which the prebuffer is full."""
        return self.opened + PREBUFFER_S


class Sessions:
    def __init__(self, idle_expiry: float, counters: Counters) -> None:
        self._idle_expiry = idle_expiry
        self._counters = counters
        self._lock = threading.Lock()
        self._of_content: dict[str, Session] = {}

    def open(self, infohash: str, *, is_hls: bool = False) -> Session:
        with self._lock:
            self._expire()
            earlier = self._of_content.get(infohash)
            session = Session(infohash, earlier.tokens if earlier else [], is_hls=is_hls)
            if earlier:
                self._end(earlier, Count.SESSIONS_SUPERSEDED)
            self._of_content[infohash] = session
        self._counters.add(Count.SESSIONS_OPENED, infohash)
        return session

    def of_token(self, infohash: str, token: str) -> Session | None:
        """By the token of the session or of one that it superseded."""
        session = self.of_content(infohash)
        return session if session and token in session.tokens else None

    def of_content(self, infohash: str) -> Session | None:
        with self._lock:
            self._expire()
            return self._of_content.get(infohash)

    def stop(self, session: Session) -> None:
        with self._lock:
            self._end(session, Count.SESSIONS_STOPPED)

    def lose(self, chosen: Callable[[str], bool]) -> None:
        """Forget sessions as a restart would, those of the contents chosen."""
        with self._lock:
            self._expire()
            for session in [*self._of_content.values()]:
                if chosen(session.infohash):
                    self._end(session, Count.SESSIONS_LOST)

    @contextmanager
    def reading(self, session: Session) -> Iterator[bool]:
        """False when somebody reads it already and only one may."""
        with self._lock:
            is_free = session.is_hls or session.readers == 0
            session.readers += is_free
        count = Count.READERS_STARTED if is_free else Count.READERS_REFUSED
        self._counters.add(count, session.infohash)
        try:
            yield is_free
        finally:
            with self._lock:
                if is_free:
                    session.readers -= 1
                    session.last_read = time.monotonic()

    def fetch(self, session: Session, *, stalled: bool) -> None:
        """Follow the broadcast up to now; what was missed while stalled is not made up for."""
        with self._lock:
            now = time.monotonic()
            if not stalled:
                session.live_seconds += now - session.fetched_until
            session.fetched_until = now

    def open_now(self) -> list[Session]:
        with self._lock:
            self._expire()
            return [*self._of_content.values()]

    def _expire(self) -> None:
        # Looked up rather than timed: nothing can tell the difference, and an idle engine sleeps.
        oldest = time.monotonic() - self._idle_expiry
        for session in [*self._of_content.values()]:
            if not session.readers and session.last_read < oldest:
                self._end(session, Count.SESSIONS_EXPIRED)

    def _end(self, session: Session, why: Count) -> None:
        if self._of_content.get(session.infohash) is session:
            del self._of_content[session.infohash]
            session.ended.set()
            self._counters.add(why, session.infohash)

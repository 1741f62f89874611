"""What stands before the bytes of a stream, or cuts them off, in either form it is read in."""

import enum
import socket
import time

from .counters import Counters
from .faults import Faults
from .kinds import Part
from .sessions import Session, Sessions
from .transport_stream import Programme
from .waiting import pause, remaining, reset_on_close
from .wire import Answer, text


class HoldAt(enum.StrEnum):
    """Where a player waits for the prebuffer."""

    CONTENT = "content"
    R = "r"
    NOWHERE = "nowhere"  # it is told that there is nothing yet


class Opening:
    """What both forms have in common."""

    def __init__(
        self,
        sessions: Sessions,
        faults: Faults,
        counters: Counters,
        programme: Programme,
        hold_at: HoldAt,
    ) -> None:
        self._sessions = sessions
        self._faults = faults
        self._counters = counters
        self._programme = programme
        self._hold_at = hold_at

    def _playable(self, infohash: str, token: str, *, is_hls: bool) -> Session | Answer:
        """What a playback_url plays, or why it does not: only the newest of a content does."""
        session = self._sessions.of_token(infohash, token)
        if session is None or self._faults.of("not_found", infohash):
            return text(500, "download not found")
        if session.token != token:
            return text(403, "got newer download")
        if session.is_hls is not is_hls or (
            self._hold_at is HoldAt.NOWHERE and self._is_prebuffering(session)
        ):
            return text(500, "download not found")
        return session

    def _is_prebuffered(self, client: socket.socket, session: Session) -> bool:
        """Wait for it; False when the client left or the session ended first."""
        return (
            pause(client, remaining(session.prebuffered), session.ended)
            and not session.ended.is_set
            and (
                session.has_played
                or self._faults.wait_until_free(
                    client, Part.PREBUFFER, session.infohash, session.ended
                )
            )
        )

    def _is_prebuffering(self, session: Session) -> bool:
        return time.monotonic() < session.prebuffered or (
            not session.has_played
            and self._faults.holding(Part.PREBUFFER, session.infohash) is not None
        )

    def _follow(self, session: Session) -> bool:
        """Fetch the broadcast up to now; whether it is stalled."""
        stalled = self._faults.holding(Part.STREAM, session.infohash) is not None
        self._sessions.fetch(session, stalled=stalled)
        return stalled

    def _is_cut(self, client: socket.socket, session: Session, began: float) -> bool:
        cut = self._faults.of("cut", session.infohash)
        if cut is None or time.monotonic() - began < cut.amount:
            return False
        reset_on_close(client)
        return True

"""The reader of a progressive session: the prebuffer at once, then the broadcast as it comes."""

import socket
import time

from .counters import Count
from .opening import HoldAt, Opening
from .sessions import PREBUFFER_BYTES, Session
from .transport_stream import FRAME_S, MOST_FRAMES
from .waiting import pause, send
from .wire import Answer, head_lines, redirect, text

_TICK_S = 4 * FRAME_S

_VIDEO_HEAD = (head_lines(200, "video/mp2t") + "\r\n").encode()
# What a second reader of one session gets: no HTTP parser takes it.
_CORRUPT = b"HTTP/1.1 200 OK\r\nHTTP/1.1 500 Internal Server Error\r\n\r\n"


class Pace:
    """How much of the broadcast a reader may have by now."""

    def __init__(self, in_hand: float, now: float) -> None:
        self._played = in_hand  # seconds
        self._seen = now
        self._stalled = False

    def frames_due(self, now: float, *, stalled: bool) -> int:
        """What passed during a stall, or since it was last seen to be on, is not made up for."""
        if not (stalled or self._stalled):
            self._played += now - self._seen
        self._seen = now
        self._stalled = stalled
        return int(self._played / FRAME_S) + 1


class Reading(Opening):
    def serve_redirect(self, client: socket.socket, host: str, infohash: str, token: str) -> None:
        """/ace/r"""
        session = self._playable(infohash, token, is_hls=False)
        if isinstance(session, Answer):
            client.sendall(session.encoded())
        elif self._hold_at is not HoldAt.R or self._is_prebuffered(client, session):
            location = f"http://{host}/content/{infohash}/{session.file_name}"
            client.sendall(redirect(location).encoded())

    def serve(self, client: socket.socket, infohash: str, file_name: str) -> None:
        """/content"""
        session = self._sessions.of_content(infohash)
        if (
            session is None
            or session.file_name != file_name
            or self._faults.of("not_found", infohash)
        ):
            client.sendall(text(500, "download not found").encoded())
            return
        with self._sessions.reading(session) as is_free:
            if is_free:
                self._play(client, session)
            else:
                client.sendall(_CORRUPT)

    def _play(self, client: socket.socket, session: Session) -> None:
        """Until the session ends or the reader leaves; headers wait for the prebuffer."""
        if not self._is_prebuffered(client, session):
            return
        if not send(client, _VIDEO_HEAD, session.ended):
            return
        session.has_played = True
        began = time.monotonic()
        pace = Pace(PREBUFFER_BYTES / self._programme.frame_bytes * FRAME_S, began)
        sent = 0
        while not session.ended.is_set:
            now = time.monotonic()
            if self._is_cut(client, session, began):
                return
            stalled = self._follow(session)
            count = min(MOST_FRAMES, pace.frames_due(now, stalled=stalled) - sent)
            if stalled or count == 0:
                if not pause(client, _TICK_S, session.ended):
                    return
                continue
            data = self._programme.frames(sent, count)
            if not send(client, data, session.ended):
                return
            sent += count
            self._counters.add(Count.BYTES_SENT, session.infohash, len(data))

"""The reader of a progressive session: the prebuffer at once, then the broadcast as it comes."""

import socket
import time

from .counters import Count, Counters
from .faults import Faults, Part
from .sessions import PREBUFFER_BYTES, Session, Sessions
from .transport_stream import FRAME_S, Programme
from .waiting import pause, remaining, send
from .wire import head_lines, text

_TICK_S = 4 * FRAME_S
_MOST_FRAMES = 16  # sent in one go: a burst needs little memory, and a stall stops it midway

_VIDEO_HEAD = (head_lines(200, "video/mp2t") + "\r\n").encode()
# What a second reader of one session gets: no HTTP parser takes it.
_CORRUPT = b"HTTP/1.1 200 OK\r\nHTTP/1.1 500 Internal Server Error\r\n\r\n"


class Reading:
    def __init__(self, sessions: Sessions, faults: Faults, counters: Counters, rate: int) -> None:
        self._sessions = sessions
        self._faults = faults
        self._counters = counters
        self._programme = Programme(rate)

    def serve(self, client: socket.socket, infohash: str, file_name: str) -> None:
        session = self._sessions.of_content(infohash)
        if session is None or session.file_name != file_name:
            client.sendall(text(500, "download not found").encoded())
        elif not self._sessions.take_reader(session):
            client.sendall(_CORRUPT)
        else:
            try:
                self._play(client, session)
            finally:
                self._sessions.release_reader(session)

    def _play(self, client: socket.socket, session: Session) -> None:
        """Until the session ends or the reader leaves; headers wait for the prebuffer."""
        if not pause(client, session.ended, remaining(session.prebuffered)):
            return
        if not send(client, _VIDEO_HEAD, session.ended):
            return
        sent = 0
        played = PREBUFFER_BYTES / self._programme.frame_bytes * FRAME_S  # seconds
        earlier = time.monotonic()
        while not session.ended.is_set:
            now = time.monotonic()
            stalled = self._faults.holding(Part.STREAM, session.infohash) is not None
            self._sessions.fetch(session, stalled=stalled)
            if not stalled:
                played += now - earlier
            earlier = now
            count = 0 if stalled else min(_MOST_FRAMES, int(played / FRAME_S) + 1 - sent)
            if count == 0:
                if not pause(client, session.ended, _TICK_S):
                    return
                continue
            data = self._programme.frames(sent, count)
            if not send(client, data, session.ended):
                return
            sent += count
            self._counters.add(Count.BYTES_SENT, len(data))

"""HLS: the list of a session and the segments it names, the same for any number of clients."""

import socket
import time

from .counters import Count
from .kinds import Part
from .opening import Opening
from .sessions import Session
from .transport_stream import FRAMES_PER_SECOND, MOST_FRAMES
from .waiting import send
from .wire import Answer, head_lines, text

_SEGMENT_S = 5
_FRAMES = _SEGMENT_S * FRAMES_PER_SECOND  # in a segment
_AT_ONCE = 3  # segments that the prebuffer holds: players want so many before they begin
_LISTED = 17


class Hls(Opening):
    def serve_list(self, client: socket.socket, host: str, infohash: str, token: str) -> None:
        """/ace/m"""
        session = self._playable(infohash, token, is_hls=True)
        if isinstance(session, Answer):
            client.sendall(session.encoded())
            return
        with self._sessions.reading(session):
            if self._is_prebuffered(client, session):
                session.has_played = True
                body = _playlist(f"http://{host}/ace/c/{infohash}", self._there(session))
                client.sendall(Answer(200, "application/vnd.apple.mpegurl", body).encoded())

    def serve_segment(self, client: socket.socket, infohash: str, name: str) -> None:
        """/ace/c: of a content, whoever opened its session."""
        session = self._sessions.of_content(infohash)
        if self._faults.of("not_found", infohash):
            client.sendall(text(500, "download not found").encoded())
        elif session is None or not session.is_hls or name not in map(str, self._there(session)):
            client.sendall(text(404, "Not Found").encoded())
        else:
            with self._sessions.reading(session):
                self._send(client, session, int(name))

    def _there(self, session: Session) -> range:
        """The segments that can be had: the newest, as the broadcast goes on."""
        self._follow(session)
        end = _AT_ONCE + int(session.live_seconds / _SEGMENT_S)
        return range(max(0, end - _LISTED), end)

    def _send(self, client: socket.socket, session: Session, number: int) -> None:
        size = _FRAMES * self._programme.frame_bytes
        head = head_lines(200, "video/mp2t") + f"Content-Length: {size}\r\n\r\n"
        began = time.monotonic()
        data = head.encode()
        for done in range(0, _FRAMES, MOST_FRAMES):
            frames = min(MOST_FRAMES, _FRAMES - done)
            data += self._programme.frames(number * _FRAMES + done, frames)
            if not self._faults.wait_until_free(
                client, Part.STREAM, session.infohash, session.ended
            ):
                return
            if not send(client, data, session.ended) or self._is_cut(client, session, began):
                return
            sent = frames * self._programme.frame_bytes
            self._counters.add(Count.BYTES_SENT, session.infohash, sent)
            data = b""
        self._counters.add(Count.SEGMENTS_SENT, session.infohash)


def _playlist(base: str, numbers: range) -> str:
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{_SEGMENT_S}",
        f"#EXT-X-MEDIA-SEQUENCE:{numbers.start}",
    ]
    for number in numbers:
        lines += [f"#EXTINF:{_SEGMENT_S:.6f},", f"{base}/{number}.ts"]
    return "\n".join(lines) + "\n"

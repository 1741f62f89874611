"""What is shared: one session of a content, and one reader of it, for all its viewers."""

import json
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from .connections import Connections, cut
from .engine import FAILURES, Answer, Engine, Refused
from .viewer import Latch, Viewer

ANSWER_S = 10.0  # for the whole answer of getstream
STOP_S = 3.0
SILENCE_S = 60.0  # without a byte a stream is over
BLOCK = 4 << 20
_PIECE = 32 << 10

_TEXTS = ("playback_url", "stat_url", "command_url", "infohash", "playback_session_id")
_NUMBERS = ("is_live", "is_encrypted", "client_session_id")

Content = tuple[str, str]  # `id` or `infohash`, and which


class Stream:
    def __init__(self, content: Content, session: Mapping[str, str]) -> None:
        self.content = content
        self.playback_url = session["playback_url"]
        self.stat_url = session["stat_url"]
        self.command_url = session["command_url"]
        self.viewers: list[Viewer] = []
        self.source: Answer | None = None
        self.over = Latch()


class Proxy:
    """`engine` is `host:port`."""

    def __init__(self, engine: str, connections: Connections) -> None:
        self._address = engine
        self._engine = Engine(connections)
        self._lock = threading.Lock()
        self._streams: dict[Content, Stream] = {}

    def fetch(self, content: Content, query: Mapping[str, str]) -> Stream:
        with self._lock:
            if found := self._streams.get(content):
                return found
        asked = {**query, "format": "json", "pid": str(uuid.uuid4())}
        target = f"http://{self._address}/ace/getstream?{urlencode(sorted(asked.items()))}"
        stream = Stream(content, _session(self._engine.ask(target, ANSWER_S)))
        with self._lock:
            # Another viewer's may have come meanwhile; then nobody stops the session of this one.
            return self._streams.setdefault(content, stream)

    def play(self, stream: Stream, viewer: Viewer) -> None:
        with self._lock:
            self._must_be_there(stream)
            stream.viewers.append(viewer)
            if stream.source:
                return
        try:
            source = self._engine.play(stream.playback_url)
        except FAILURES:
            self.leave(stream, viewer)
            raise
        with self._lock:
            try:
                self._must_be_there(stream)
            except Refused:
                source.close()
                raise
            if stream.source:
                source.close()
                return
            stream.source = source
        threading.Thread(target=self._copy, args=(stream, source), daemon=True).start()

    def leave(self, stream: Stream, viewer: Viewer) -> None:
        """The last one's end stops the stream."""
        with self._lock:
            if viewer not in stream.viewers:
                return
            stream.viewers.remove(viewer)
            if stream.viewers:
                return
            del self._streams[stream.content]
            try:
                _document(self._engine.ask(f"{stream.command_url}?method=stop", STOP_S))
            except FAILURES:
                return
            if stream.source:
                cut(stream.source.connection)
            stream.over.set()

    def status(self, content: Content | None) -> dict[str, object] | None:
        with self._lock:
            if content is None:
                return {"streams": len(self._streams)}
            stream = self._streams.get(content)
            if stream is None:
                return None
            return {"clients": len(stream.viewers), "stream_id": {}, "stat_url": stream.stat_url}

    def give_up(self) -> None:
        self._engine.give_up()

    def _must_be_there(self, stream: Stream) -> None:
        if self._streams.get(stream.content) is not stream:
            raise Refused("the stream was released")

    def _copy(self, stream: Stream, source: Answer) -> None:
        block = bytearray()
        with suppress(*FAILURES):
            source.connection.settimeout(SILENCE_S)
            while piece := source.response.read1(_PIECE):
                block += piece
                if len(block) >= BLOCK:
                    self._hand_out(stream, bytes(block))
                    block.clear()
        source.close()
        stream.over.set()

    def _hand_out(self, stream: Stream, block: bytes) -> None:
        with self._lock:
            viewers = [*stream.viewers]
        for viewer in viewers:
            try:
                viewer.take(block)
            except TimeoutError:
                self.leave(stream, viewer)
            except OSError:
                pass  # its own thread sees that it left


def _session(body: bytes) -> dict[str, Any]:
    """With the types that a Go client needs; what is not there is empty."""
    response = _document(body).get("response") or {}
    if not isinstance(response, dict):
        raise Refused("response is no object")
    for names, kind in ((_TEXTS, str), (_NUMBERS, int)):
        for name in names:
            if response.setdefault(name, kind()) is None:
                response[name] = kind()
            if type(response[name]) is not kind:
                raise Refused(f"{name} is no {kind.__name__}")
    return response


def _document(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise Refused("the answer is no object")
    if error := document.get("error"):
        raise Refused(error if isinstance(error, str) else "error is no text")
    return document

"""Which call is answered by whom; faults hold a request up here, before anything happens."""

import socket

from .content import wanted_infohash
from .counters import Count, Counters
from .faults import Faults
from .hls import Hls
from .kinds import Part
from .opening import HoldAt
from .playback import Playback
from .reading import Reading
from .service import Service
from .sessions import Sessions
from .transport_stream import Programme
from .waiting import pause
from .wire import Answer, Request, text

_HTML = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"


class Engine:
    def __init__(
        self,
        sessions: Sessions,
        faults: Faults,
        counters: Counters,
        rate: int,
        hold_at: HoldAt,
    ) -> None:
        self._faults = faults
        self._counters = counters
        self._service = Service(faults)
        self._playback = Playback(sessions, faults, counters, rate)
        read = (sessions, faults, counters, Programme(rate), hold_at)
        self._reading = Reading(*read)
        self._hls = Hls(*read)

    def serve(self, client: socket.socket, request: Request) -> None:
        part, infohash = _touched(request)
        self._counters.add(Count.REQUESTS, infohash)
        if not self._may_go_on(client, part, infohash):
            return
        if self._faults.of("deny_access"):
            client.sendall(text(403, "deny access").encoded())
            return
        match request.path.split("/")[1:]:
            case ["ace", "r", infohash, token] if request.method == "GET":
                self._reading.serve_redirect(client, request.host, infohash, token)
            case ["content", infohash, file_name] if request.method == "GET":
                self._reading.serve(client, infohash, file_name)
            case ["ace", "m", infohash, name] if request.method == "GET":
                self._hls.serve_list(client, request.host, infohash, name.removesuffix(".m3u8"))
            case ["ace", "c", infohash, name] if request.method == "GET":
                self._hls.serve_segment(client, infohash, name.removesuffix(".ts"))
            case path:
                answer = self._answer(request, path)
                client.sendall(self._spoiled(answer, infohash).encoded())

    def _may_go_on(self, client: socket.socket, part: Part, infohash: str | None) -> bool:
        """After what holds it up; False when the client did not wait for that."""
        slow = self._faults.of("slow_getstream", infohash) if part is Part.START else None
        if slow and not pause(client, slow.amount, slow.lifted):
            return False
        return self._faults.wait_until_free(client, part, infohash)

    def _answer(self, request: Request, path: list[str]) -> Answer:
        if request.method != "GET":
            return text(501, "Unsupported method")
        match path:
            case ["webui", "api", "service"]:
                return self._service.webui(request)
            case ["server", "api"]:
                return self._service.server_api(request)
            case ["ace", "getstream"]:
                return self._playback.start(request, is_hls=False)
            case ["ace", "manifest.m3u8"]:
                return self._playback.start(request, is_hls=True)
            case ["ace", "stat", infohash, token]:
                return self._playback.stat(infohash, token)
            case ["ace", "cmd", infohash, token]:
                return self._playback.command(request, infohash, token)
            case _:
                return text(404, "Not Found")

    def _spoiled(self, answer: Answer, infohash: str | None) -> Answer:
        """A JSON document as it should not be, where a fault says so."""
        if answer.content_type != "application/json":
            return answer
        if self._faults.of("html", infohash):
            return Answer(answer.status, "text/html", _HTML)
        if self._faults.of("bad_json", infohash):
            return answer._replace(body=answer.body[: len(answer.body) // 2])
        if self._faults.of("bool_is_live", infohash):
            body = answer.body.replace('"is_live": 1', '"is_live": true')
            return answer._replace(body=body.replace('"is_encrypted": 0', '"is_encrypted": false'))
        return answer


def _touched(request: Request) -> tuple[Part, str | None]:
    """The part of the engine a request is for, and the content."""
    match request.path.split("/")[1:]:
        case ["ace", "getstream" | "manifest.m3u8"]:
            return Part.START, wanted_infohash(request.query)
        case ["ace", "stat", infohash, _]:
            return Part.STAT, infohash
        case ["ace", "cmd", infohash, _]:
            return Part.STOP, infohash
        case ["content", infohash, _] | ["ace", _, infohash, _]:
            return Part.READ, infohash
        case _:
            return Part.SERVICE, None

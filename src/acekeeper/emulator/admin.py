"""The admin port: sets and shows faults and counters, and goes on answering while the engine hangs.

Described in docs/emulator.md.
"""

from .burdens import Limits, carry
from .content import is_id
from .counters import Counters
from .fault_port import FaultPort, content_of, fields_of
from .faults import Faults, names
from .kinds import KINDS
from .sessions import Session, Sessions
from .wire import Answer, Request, as_json


class Admin(FaultPort):
    def __init__(
        self, sessions: Sessions, faults: Faults, counters: Counters, limits: Limits
    ) -> None:
        super().__init__(KINDS, faults, lambda fault: carry(fault, limits))
        self._sessions = sessions
        self._counters = counters

    def answer(self, request: Request) -> Answer:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["counters"]:
                gauges = _gauges(self._sessions.open_now())
                return as_json(self._counters.snapshot() | gauges)
            case "GET", ["counters", infohash] if is_id(infohash):
                sessions = [s for s in self._sessions.open_now() if s.infohash == infohash]
                return as_json(self._counters.snapshot(infohash) | _gauges(sessions))
            case "GET", ["sessions"]:
                sessions = self._sessions.open_now()
                return as_json({"sessions": [_listed(session) for session in sessions]})
            case "POST", ["lose-sessions"]:
                content = content_of(fields_of(request, {"content"}))
                self._sessions.lose(lambda infohash: names(content, infohash))
                return as_json({})
            case _:
                return super().answer(request)


def _gauges(sessions: list[Session]) -> dict[str, int]:
    return {
        "sessions": len(sessions),
        "readers": sum(session.readers for session in sessions),
    }


def _listed(session: Session) -> dict[str, object]:
    return {
        "infohash": session.infohash,
        "token": session.token,
        "is_hls": session.is_hls,
        "readers": session.readers,
    }

"""The admin port: sets and shows faults and counters, and goes on answering while the engine hangs.

Described in docs/emulator.md.
"""

import json
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import TypeGuard

from .burdens import Limits, carry
from .content import is_id
from .counters import Counters
from .faults import Fault, Faults, names
from .kinds import KINDS, Amount
from .sessions import Session, Sessions
from .wire import Answer, Request, as_json

_LONGEST_S = 86_400


class Refused(Exception):
    pass


class Admin:
    def __init__(
        self, sessions: Sessions, faults: Faults, counters: Counters, limits: Limits
    ) -> None:
        self._sessions = sessions
        self._faults = faults
        self._counters = counters
        self._limits = limits

    def serve(self, client: socket.socket, request: Request) -> None:
        end: Callable[[], None] | None = None
        try:
            if (request.method, request.path) == ("POST", "/crash"):
                end = _wanted_end(_fields(request, {"exit_code", "signal"}))
                answer = as_json({})
            else:
                answer = self._answer(request)
        except Refused as error:
            answer = as_json({"error": str(error)}, 400)
        client.sendall(answer.encoded())
        if end is not None:
            end()

    def _answer(self, request: Request) -> Answer:
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
                content = _content(_fields(request, {"content"}))
                self._sessions.lose(lambda infohash: names(content, infohash))
                return as_json({})
            case "GET", ["faults"]:
                pass
            case "POST", ["faults"]:
                known = {"kind", "content", "duration_s", "amount"}
                fault = _wanted_fault(_fields(request, known))
                self._faults.set(fault)
                carry(fault, self._limits)
            case "DELETE", ["faults"]:
                self._faults.clear()
            case "DELETE", ["faults", kind] if kind in KINDS:
                self._faults.clear(kind)
            case _:
                return as_json({"error": f"no such call: {request.method} {request.path}"}, 404)
        return as_json({"faults": [_shown(fault) for fault in self._faults.active()]})


def _fields(request: Request, known: set[str]) -> dict[str, object]:
    try:
        fields = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise Refused("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise Refused("the body is not a JSON object")
    if unknown := fields.keys() - known:
        raise Refused(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return fields


def _wanted_fault(fields: dict[str, object]) -> Fault:
    name = fields.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise Refused(f"kind must be one of {', '.join(KINDS)}")
    content = _content(fields)
    if content is not None and not KINDS[name].per_content:
        raise Refused(f"{name} is a fault of the whole engine")
    duration = fields.get("duration_s")
    if duration is not None and not (_is_number(duration) and 0 < duration <= _LONGEST_S):
        raise Refused(f"duration_s must be a number above 0, at most {_LONGEST_S}")
    return Fault(name, content, duration, _wanted_amount(fields, name, KINDS[name].amount))


def _wanted_amount(fields: dict[str, object], name: str, amount: Amount | None) -> float:
    value = fields.get("amount")
    if amount is None:
        if value is not None:
            raise Refused(f"{name} has no amount")
        return 0
    if value is None:
        return amount.default
    if not (_is_number(value) and amount.low <= value <= amount.high):
        raise Refused(f"amount must be a number, {amount.low:g} to {amount.high:g} {amount.unit}")
    return value


def _wanted_end(fields: dict[str, object]) -> Callable[[], None]:
    name = fields.get("signal")
    if name is not None:
        if not isinstance(name, str) or name not in signal.Signals.__members__:
            raise Refused("signal must be a name such as SIGKILL")
        return partial(os.kill, os.getpid(), signal.Signals[name])
    code = fields.get("exit_code", 1)
    if type(code) is not int or not 0 <= code <= 255:
        raise Refused("exit_code must be 0 to 255")
    return partial(os._exit, code)


def _content(fields: dict[str, object]) -> str | None:
    content = fields.get("content")
    if content is None:
        return None
    if not isinstance(content, str) or not is_id(content):
        raise Refused("content must be an infohash or a content id, 40 hex digits")
    return content.lower()


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


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


def _shown(fault: Fault) -> dict[str, object]:
    return {
        "kind": fault.kind,
        "content": fault.content,
        "amount": fault.amount if KINDS[fault.kind].amount else None,
        "remaining_s": fault.remaining,
    }

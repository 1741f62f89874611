"""What every admin port takes: faults are set, shown and cleared, and the process is ended.

Described in docs/emulator.md.
"""

import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeGuard

from .content import is_id
from .faults import Fault, Faults
from .kinds import Amount, Kind
from .wire import Answer, Request, as_json

_LONGEST_S = 86_400


class Refused(Exception):
    pass


class FaultPort:
    def __init__(
        self,
        kinds: Mapping[str, Kind],
        faults: Faults,
        begin: Callable[[Fault], None] = lambda _: None,
    ) -> None:
        """`begin` is told of every fault that is set."""
        self._kinds = kinds
        self._faults = faults
        self._begin = begin

    def serve(self, client: socket.socket, request: Request) -> None:
        end: Callable[[], None] | None = None
        try:
            if (request.method, request.path) == ("POST", "/crash"):
                end = _wanted_end(fields_of(request, {"exit_code", "signal"}))
                answer = as_json({})
            else:
                answer = self.answer(request)
        except Refused as error:
            answer = as_json({"error": str(error)}, 400)
        client.sendall(answer.encoded())
        if end is not None:
            end()

    def answer(self, request: Request) -> Answer:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["faults"]:
                pass
            case "POST", ["faults"]:
                known = {"kind", "content", "duration_s", "amount"}
                fault = self._wanted(fields_of(request, known))
                self._faults.set(fault)
                self._begin(fault)
            case "DELETE", ["faults"]:
                self._faults.clear()
            case "DELETE", ["faults", kind] if kind in self._kinds:
                self._faults.clear(kind)
            case _:
                return as_json({"error": f"no such call: {request.method} {request.path}"}, 404)
        return as_json({"faults": [self._shown(fault) for fault in self._faults.active()]})

    def _wanted(self, fields: dict[str, object]) -> Fault:
        name = fields.get("kind")
        if not isinstance(name, str) or name not in self._kinds:
            raise Refused(f"kind must be one of {', '.join(self._kinds)}")
        kind, content = self._kinds[name], content_of(fields)
        if content is not None and not kind.per_content:
            raise Refused(f"{name} is no fault of one content: it is of the whole process")
        duration = fields.get("duration_s")
        if duration is not None and not (_is_number(duration) and 0 < duration <= _LONGEST_S):
            raise Refused(f"duration_s must be a number above 0, at most {_LONGEST_S}")
        return Fault(name, content, duration, _wanted_amount(fields, name, kind.amount))

    def _shown(self, fault: Fault) -> dict[str, object]:
        return {
            "kind": fault.kind,
            "content": fault.content,
            "amount": fault.amount if self._kinds[fault.kind].amount else None,
            "remaining_s": fault.remaining,
        }


def fields_of(request: Request, known: set[str]) -> dict[str, object]:
    try:
        fields = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise Refused("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise Refused("the body is not a JSON object")
    if unknown := fields.keys() - known:
        raise Refused(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return fields


def content_of(fields: dict[str, object]) -> str | None:
    content = fields.get("content")
    if content is None:
        return None
    if not isinstance(content, str) or not is_id(content):
        raise Refused("content must be an infohash or a content id, 40 hex digits")
    return content.lower()


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


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What clients ask to see whether their engine lives: answered from memory, and well as long as
an engine can be had."""

from msgspec.structs import replace

from acekeeper.core.admission import blocked
from acekeeper.core.gateway.hosts import have_room
from acekeeper.core.model import Phase
from acekeeper.gateway.door import JSON, Answer, Call, Route, Routes, as_json
from acekeeper.usecases.loop import Loop

_VERSION = {"code": 3020300, "platform": "linux", "version": "3.2.3"}  # of an engine
_AGAIN_S = "2"


class Liveness:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def routes(self) -> Routes:
        return {
            "/webui/api/service": Route(self._service, JSON),
            "/server/api": Route(self._server, JSON),
        }

    async def _service(self, call: Call) -> Answer:
        if call.query.get("method") != "get_version":
            return as_json({"result": None, "error": "unknown method"})
        if why := self._lacking():
            return _unavailable({"result": None, "error": why})
        return as_json({"result": _VERSION, "error": None})

    async def _server(self, call: Call) -> Answer:
        """Here a success has no `error`, and an error is an object."""
        if call.query.get("api_version") != "3":
            return as_json(_failed("unknown protocol"))
        result: dict[str, object]
        match call.query.get("method"):
            case "get_status":
                result = {"playlist_loaded": True, "version": _VERSION}
            case "get_network_connection_status":
                result = {"connected": True}
            case _:
                return as_json(_failed("unknown method"))
        why = self._lacking()
        return _unavailable(_failed(why)) if why else as_json({"result": result})

    def _lacking(self) -> str:
        """Why no engine can be had; empty while one is free, coming, playing, or may be started, on
        this host or another one."""
        state, rules = self._loop.state, self._loop.rules
        if any(e.listed or e.phase is Phase.STARTING for e in state.engines.values()):
            return ""
        if have_room(state):
            return ""
        refusal = blocked(state, rules, self._loop.clock())
        return refusal.message if refusal else ""


def _failed(message: str) -> dict[str, object]:
    return {"error": {"message": message, "code": 0}}


def _unavailable(body: object) -> Answer:
    return replace(as_json(body, 503), headers={"Retry-After": _AGAIN_S})

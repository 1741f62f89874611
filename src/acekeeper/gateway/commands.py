"""What players ask about a session, and tell it: `/ace/stat` and `/ace/cmd`."""

import re

from acekeeper.core.gateway.facts import SessionRead, StopAsked
from acekeeper.core.model import Stream
from acekeeper.errors import NoAnswer
from acekeeper.gateway.context import Context, by_gateway
from acekeeper.gateway.door import JSON, Answer, Call, as_json, text

_PATH = re.compile(r"/ace/(?:stat|cmd)/\w{1,64}/(\w{1,64})", re.ASCII)
_UNKNOWN = {"response": None, "error": "unknown playback session id"}


class Commands:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def stat(self, call: Call) -> Answer:
        named = _PATH.fullmatch(call.path)
        if named is None:
            return text(404, "Not Found")
        stream = self._stream(named[1])
        if stream is None or stream.ended is not None or stream.slot is None:
            return as_json(_UNKNOWN)
        self._context.loop.tell(SessionRead(stream.id))
        opening, arrival = by_gateway(stream).opening, call.arrival[0]
        try:
            body = await self._context.loop.gateway.sessions.stat(stream.slot, opening, arrival)
        except NoAnswer as error:
            return as_json({"response": None, "error": f"the engine: {error}"}, 503)
        return Answer(status=200, media_type=JSON, body=body)

    async def command(self, call: Call) -> Answer:
        """A stop succeeds at once, whatever the engine does: some players wait for it under a lock,
        and leave their reader open when it fails."""
        named = _PATH.fullmatch(call.path)
        if named is None:
            return text(404, "Not Found")
        stream = self._stream(named[1])
        if call.query.get("method") == "stop":
            if stream is not None:
                self._context.loop.tell(StopAsked(stream.id))
            return as_json({"response": "ok", "error": None})
        if stream is None or stream.ended is not None:
            return as_json(_UNKNOWN)
        return as_json({"response": None, "error": "unknown method"})

    def _stream(self, token: str) -> Stream | None:
        state = self._context.loop.state
        return state.streams.get(state.tokens.get(token, ""))

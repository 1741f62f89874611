"""A player asks for a content: `/ace/getstream` and `/ace/manifest.m3u8`."""

import asyncio
from collections.abc import Mapping
from functools import partial
from secrets import token_hex

from acekeeper.core.gateway.model import Elsewhere, NotPlayed
from acekeeper.core.model import Opening
from acekeeper.gateway.again import waits_since
from acekeeper.gateway.context import Context, by_gateway
from acekeeper.gateway.door import Answer, Call, as_json, origin, redirect_to, text
from acekeeper.gateway.wanted import wanted
from acekeeper.metrics.families import GatewayAnswer
from acekeeper.usecases.gateway import Failed
from acekeeper.usecases.requests import left, longest_wait, play

_FAILURES: Mapping[NotPlayed, GatewayAnswer] = {
    NotPlayed.REFUSED: "refused",
    NotPlayed.SILENT: "silent",
    NotPlayed.NO_ENGINE: "no_engine",
}


class Opener:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def open(self, call: Call, *, is_hls: bool) -> Answer:
        context, for_json = self._context, call.query.get("format") == "json"
        try:
            asked = wanted(call, is_hls=is_hls, may_name_urls=context.may_name_urls)
        except ValueError as error:
            return _failed(str(error), 400, for_json=for_json)
        loop = context.loop
        within = longest_wait(loop.rules, for_json=for_json)
        since = waits_since(call, loop.clock(), within)
        request = token_hex(8)
        try:
            outcome = await play(loop, request, asked, since, within)
        except asyncio.CancelledError:
            if not context.leaving.is_begun:
                context.metrics.gateway_answered("left", asked.content.key)
            raise
        if isinstance(outcome, Failed):
            context.metrics.gateway_answered(_FAILURES[outcome.why], asked.content.key)
            return not_played(outcome, for_json=for_json)
        call.if_gone.append(partial(loop.tell, left(request, outcome)))
        context.metrics.gateway_answered("served", asked.content.key)
        if isinstance(outcome, Elsewhere):
            return played(outcome.origin, outcome.opening, outcome.is_hls, for_json=for_json)
        gateway = by_gateway(outcome)
        return played(origin(call), gateway.opening, gateway.is_hls, for_json=for_json)


def not_played(failed: Failed, *, for_json: bool) -> Answer:
    if failed.why is NotPlayed.REFUSED:  # as the engine itself answers
        return _failed(failed.words, 200 if for_json else 500, for_json=for_json)
    return _failed(failed.words, 503, for_json=for_json, again_after=max(1, failed.eta))


def _failed(words: str, status: int, *, for_json: bool, again_after: int = 0) -> Answer:
    plain = as_json({"response": None, "error": words}, status) if for_json else text(status, words)
    headers = {"Retry-After": str(again_after)} if again_after else {}
    return Answer(status=status, media_type=plain.media_type, body=plain.body, headers=headers)


def played(gateway: str, opening: Opening, is_hls: bool, *, for_json: bool) -> Answer:
    """Leads to the session: by the gateway of its host, wherever that is."""
    session = f"{opening.infohash}/{opening.token}"
    playback = f"{gateway}/ace/m/{session}.m3u8" if is_hls else f"{gateway}/ace/r/{session}"
    if not for_json:
        return redirect_to(playback)
    return as_json(
        {
            "response": {
                "playback_url": playback,
                "stat_url": f"{gateway}/ace/stat/{session}",
                "command_url": f"{gateway}/ace/cmd/{session}",
                "infohash": opening.infohash,
                "playback_session_id": opening.session,
                "is_live": int(opening.is_live),
                "is_encrypted": int(opening.is_encrypted),
                "client_session_id": opening.client_session_id,
            },
            "error": None,
        }
    )

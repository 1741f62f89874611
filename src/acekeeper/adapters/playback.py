"""Plays from an engine for a moment, to see whether it does."""

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp import ClientTimeout
from yarl import URL

from acekeeper.adapters import connections
from acekeeper.adapters.engine import EngineClient
from acekeeper.adapters.getstream import TAKEN_OVER, content_path, open_session, session_path
from acekeeper.core.doubt import Content
from acekeeper.core.facts import Verdict
from acekeeper.core.model import Opening
from acekeeper.core.names import Slot, bracketed
from acekeeper.errors import EngineInUse, EngineRefused, NoAnswer, RuntimeUnavailable

_STARTS_WITHIN = 20.0  # the client's own patience, for both
_BYTES_WITHIN = 20.0
_STAT_WITHIN = 3.0
_AGAIN_AFTER = 1.0  # it answers 500 while it fills its buffer


class Player:
    def __init__(self, engines: EngineClient) -> None:
        self._engines = engines

    async def play(self, slot: Slot, content: Content) -> tuple[Verdict, str]:
        """What it found, and the engine's own words. NoAnswer: it hangs. EngineInUse: somebody
        else is there, and nothing was found."""
        try:
            is_used = await asyncio.to_thread(connections.has_others, slot.port)
        except RuntimeUnavailable as error:
            raise EngineInUse(f"somebody may be connected to it: {error.message}") from error
        if is_used:
            raise EngineInUse("somebody else is connected to it")
        try:
            opening = await open_session(self._engines.session, slot, content, _STARTS_WITHIN)
        except EngineRefused as error:
            return Verdict.BAD_CONTENT, str(error)
        try:
            return await self._verdict(slot, opening)
        finally:
            await self._leave(slot, opening)

    async def _verdict(self, slot: Slot, opening: Opening) -> tuple[Verdict, str]:
        with suppress(TimeoutError):
            async with asyncio.timeout(_BYTES_WITHIN):
                await self._first_bytes(slot, session_path("r", opening))
                return Verdict.PLAYS, ""
        sample = await self._engines.stat(slot, session_path("stat", opening))
        if sample is None:
            raise EngineInUse("its session was ended by somebody else")
        if sample.peers == 0 and sample.speed_down == 0:
            return Verdict.STARVED, sample.status
        raise NoAnswer(
            f"sent no byte within {_BYTES_WITHIN:g} s,"
            f" with {sample.peers} peers at {sample.speed_down} KB/s"
        )

    async def _first_bytes(self, slot: Slot, playback: str) -> None:
        path = playback
        while True:
            with suppress(aiohttp.ClientError):
                async with self._engines.session.get(
                    URL(f"http://{bracketed(slot.host)}:{slot.port}{path}", encoded=True),
                    allow_redirects=False,
                    timeout=ClientTimeout(total=None),
                ) as response:
                    if response.status == 302 and path == playback:
                        path = content_path(response.headers.get("Location"))
                        continue
                    if response.status == 403:
                        raise EngineInUse(TAKEN_OVER)
                    is_page = response.content_type.startswith("text/")
                    if response.status == 200 and not is_page and await response.content.readany():
                        return
            await asyncio.sleep(_AGAIN_AFTER)
            path = playback

    async def _leave(self, slot: Slot, opening: Opening) -> None:
        """Not when it has become another's, whom a stop by our URL would end as well. A session
        that cannot be stopped ends by itself, since nobody reads it."""
        with suppress(NoAnswer):
            _, answer = await self._engines.ask(
                slot, session_path("stat", opening), "", _STAT_WITHIN
            )
            now = answer.get("response")
            if isinstance(now, dict) and now.get("playback_session_id") == opening.session:
                await self._engines.stop(slot, session_path("cmd", opening))

"""Plays from an engine for a moment, to see whether it does. Of the URLs it answers only the paths
are used: nobody else is ever contacted."""

import asyncio
import re
import uuid
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import ClientTimeout
from yarl import URL

from acekeeper.adapters import connections
from acekeeper.adapters.engine import EngineClient, shown
from acekeeper.core.doubt import Content
from acekeeper.core.facts import Verdict
from acekeeper.core.names import Slot
from acekeeper.errors import EngineInUse, EngineSilent

_STARTS_WITHIN = 20.0  # the client's own patience, for both
_BYTES_WITHIN = 20.0
_STAT_WITHIN = 3.0
_AGAIN_AFTER = 1.0  # it answers 500 while it fills its buffer
_PATHS = {
    "playback_url": re.compile(r"/ace/r/\w+/\w+", re.ASCII),
    "stat_url": re.compile(r"/ace/stat/\w+/\w+", re.ASCII),
    "command_url": re.compile(r"/ace/cmd/\w+/\w+", re.ASCII),
}
_CONTENT = re.compile(r"/content/\w+/[\w.]+", re.ASCII)
_TAKEN_OVER = "got newer download"


class _Session(NamedTuple):
    """Paths on the engine, and its name for the session."""

    playback: str
    stat: str
    command: str
    name: object


class Player:
    def __init__(self, engines: EngineClient) -> None:
        self._engines = engines

    async def play(self, slot: Slot, content: Content) -> tuple[Verdict, str]:
        """What it found, and the engine's own words. EngineSilent: it hangs. EngineInUse: somebody
        else is there, and nothing was found."""
        if await asyncio.to_thread(connections.has_others, slot.port):
            raise EngineInUse("somebody else is connected to it")
        _, answer = await self._engines.ask(slot, "/ace/getstream", _query(content), _STARTS_WITHIN)
        error = answer.get("error")
        if error == _TAKEN_OVER:
            raise EngineInUse(_TAKEN_OVER)
        if error is not None:
            return Verdict.BAD_CONTENT, shown(error)
        session = _session(answer.get("response"))
        try:
            return await self._verdict(slot, session)
        finally:
            await self._leave(slot, session)

    async def _verdict(self, slot: Slot, session: _Session) -> tuple[Verdict, str]:
        with suppress(TimeoutError):
            async with asyncio.timeout(_BYTES_WITHIN):
                await self._first_bytes(slot, session.playback)
                return Verdict.PLAYS, ""
        sample = await self._engines.stat(slot, session.stat)
        if sample is None:
            raise EngineInUse("its session was ended by somebody else")
        if sample.peers == 0 and sample.speed_down == 0:
            return Verdict.STARVED, sample.status
        raise EngineSilent(
            f"sent no byte within {_BYTES_WITHIN:g} s,"
            f" with {sample.peers} peers at {sample.speed_down} KB/s"
        )

    async def _first_bytes(self, slot: Slot, playback: str) -> None:
        path = playback
        while True:
            with suppress(aiohttp.ClientError):
                async with self._engines.session.get(
                    URL.build(scheme="http", host=slot.host, port=slot.port, path=path),
                    allow_redirects=False,
                    timeout=ClientTimeout(total=None),
                ) as response:
                    if response.status == 302 and path == playback:
                        path = _path(response.headers.get("Location"), _CONTENT)
                        continue
                    if response.status == 403:
                        raise EngineInUse(_TAKEN_OVER)
                    is_page = response.content_type.startswith("text/")
                    if response.status == 200 and not is_page and await response.content.readany():
                        return
            await asyncio.sleep(_AGAIN_AFTER)
            path = playback

    async def _leave(self, slot: Slot, session: _Session) -> None:
        """Not when it has become another's, whom a stop by our URL would end as well. A session
        that cannot be stopped ends by itself, since nobody reads it."""
        with suppress(EngineSilent):
            _, answer = await self._engines.ask(slot, session.stat, "", _STAT_WITHIN)
            now = answer.get("response")
            if isinstance(now, dict) and now.get("playback_session_id") == session.name:
                await self._engines.stop(slot, session.command)


def _query(content: Content) -> str:
    return urlencode({content.key_type: content.key, "format": "json", "pid": uuid.uuid4().hex})


def _session(response: Any) -> _Session:
    if not isinstance(response, dict):
        raise EngineSilent(f"answered getstream {shown(response)}")
    playback, stat, command = (_path(response.get(name), path) for name, path in _PATHS.items())
    return _Session(playback, stat, command, response.get("playback_session_id"))


def _path(url: object, allowed: re.Pattern[str]) -> str:
    try:
        path = urlsplit(url).path if isinstance(url, str) else ""
    except ValueError:
        path = ""
    if not allowed.fullmatch(path):
        raise EngineSilent(f"answered getstream with {shown(url)}")
    return path

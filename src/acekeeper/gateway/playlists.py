"""A player asks for the list of its HLS session: `/ace/m`. Its URL outlives the session: when that
is gone, the content is opened on another engine, and the list goes on with its segments."""

import asyncio
import re
from secrets import token_hex
from typing import NamedTuple

from msgspec.structs import replace

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.facts import PlayRequested, SessionRead
from acekeeper.core.gateway.model import NotPlayed, Wanted
from acekeeper.core.model import KeyType, Stream
from acekeeper.errors import EngineInUse, EngineRefused, Failure, NoAnswer
from acekeeper.gateway.again import waits_since
from acekeeper.gateway.awaited import Awaited
from acekeeper.gateway.context import Context, by_gateway, slot_of
from acekeeper.gateway.door import HLS, Answer, Call, origin, text
from acekeeper.gateway.lists import Playlist, Point, Progress, begin, follow, go_on, read, written
from acekeeper.gateway.opening import not_played
from acekeeper.gateway.visit import loads
from acekeeper.usecases.gateway import Failed
from acekeeper.usecases.requests import longest_wait, play_here, wanted_again

_PATH = re.compile(r"/ace/m/(\w{1,64})/(\w{1,64})\.m3u8", re.ASCII)
_INFOHASH = re.compile(r"[0-9a-f]{40}")
_SILENT_AFTER = 7.0
_AGAIN_AFTER = 1.0  # an engine has no list while it fills its buffer
_ENGINES_MOST = 3  # for one answer
_URLS_MOST = 4096
_NO_LIST = Failed(NotPlayed.SILENT, "the engines that were asked have no list", 5)


class _Asked(NamedTuple):
    url: str  # as it names a session
    wanted: Wanted
    awaited: Awaited
    within: float  # seconds, since it is awaited


class Playlists:
    def __init__(self, context: Context) -> None:
        self._context = context
        # By URL; the one that was asked for last is the last.
        self._progress: dict[str, Progress] = {}

    async def playlist(self, call: Call) -> Answer:
        named = _PATH.fullmatch(call.path)
        if named is None:
            return text(404, "Not Found")
        url = f"{named[1]}|{named[2]}"
        stream = self._stream(url)
        wanted = _wanted(stream, named[1], call)
        if wanted is None:
            return text(500, "download not found")
        now = self._context.loop.clock()
        within = longest_wait(self._context.loop.rules, for_json=False)
        since = waits_since(call, now, within)
        left = since.mono + within - now.mono
        if left <= 0:  # the player kept the URL of a redirect, and that wait is over
            since, left = now, within
        session = url if stream is None else stream.id
        awaited = Awaited(self._context, call.player, session, wanted.content.key, since)
        asked = _Asked(url, wanted, awaited, within)
        try:
            with awaited.watched():
                async with asyncio.timeout(left):
                    outcome = await self._outcome(call, asked, stream)
        except TimeoutError:
            outcome = _NO_LIST
        if isinstance(outcome, Failed):
            awaited.failed(outcome.words)
            return not_played(outcome, for_json=False)
        return Answer(status=200, media_type=HLS, body=outcome.encode())

    async def _outcome(self, call: Call, asked: _Asked, stream: Stream | None) -> str | Failed:
        loop, is_gone = self._context.loop, stream is None
        for _ in range(_ENGINES_MOST):
            if stream is None or is_gone or stream.ended is not None:
                # In place of a session that is forgotten too: only one of ours has a list here.
                before, since = stream.id if stream else asked.url, asked.awaited.since
                opened = await play_here(
                    loop, PlayRequested(token_hex(8), asked.wanted, since, asked.within, before)
                )
                if isinstance(opened, Failed):
                    return opened
                stream = opened
            playlist = await self._from(stream, asked.url, call.arrival[0])
            stream = loop.state.streams.get(stream.id, stream)
            if playlist is not None and stream.ended is None:
                loop.tell(SessionRead(stream.id))
                joint = self._goes_on(asked, stream, playlist).joint
                return written(playlist, joint, origin(call, slot_of(stream).port))
            is_gone = True
        return _NO_LIST

    def _stream(self, url: str) -> Stream | None:
        """The session to which a URL leads. If that was replaced by a session of other players, its
        tokens may not name this URL."""
        state, progress = self._context.loop.state, self._progress.get(url)
        infohash, token = url.split("|")
        named = state.streams.get(state.tokens.get(token, ""))
        if named is not None and by_gateway(named).opening.infohash != infohash:
            named = None
        latest = state.streams.get(progress.session) if progress else None
        return named if latest is None or (named and named.ended is None) else latest

    async def _from(self, stream: Stream, url: str, arrival: str) -> Playlist | None:
        """The list of its engine. None: the session is gone."""
        opening = by_gateway(stream).opening
        sessions = self._context.loop.gateway.sessions
        while True:
            try:
                body = await sessions.list(slot_of(stream), opening, arrival, _SILENT_AFTER)
                playlist = read(body)
            except EngineInUse:
                return None  # somebody else opened the content there
            except EngineRefused:
                if not self._is_new(stream, url):
                    return None
            except NoAnswer as error:
                if not self._is_new(stream, url) or await self._is_dead(stream, error):
                    return None
            else:
                if playlist.segments:
                    return playlist
            await asyncio.sleep(_AGAIN_AFTER)

    def _is_new(self, stream: Stream, url: str) -> bool:
        """Whether its engine may still be filling its buffer, and have no list yet."""
        loop, progress = self._context.loop, self._progress.get(url)
        age = loop.clock().mono - stream.started.mono
        is_listed = progress is not None and progress.session == stream.id
        return not is_listed and age < longest_wait(loop.rules, for_json=False)

    async def _is_dead(self, stream: Stream, error: NoAnswer) -> bool:
        """Whether the engine hangs: it has peers and sends no list, or does not even answer a
        stat."""
        if error.failure is not Failure.TIMEOUT:
            return error.failure is not Failure.ERROR
        return await loads(self._context, stream)

    def _goes_on(self, asked: _Asked, stream: Stream, playlist: Playlist) -> Progress:
        now, before = self._context.loop.clock(), self._progress.pop(asked.url, None)
        if before is not None and before.session == stream.id:
            progress = go_on(before, playlist)
        else:
            asked.awaited.came()
            if before is None and asked.url == stream.id:
                progress = begin(stream.id, playlist)
            else:
                # Seconds since 1970 grow faster than the numbers of segments, whatever was listed
                # here before our start.
                last = Point(int(now.wall), int(now.wall)) if before is None else before.last
                progress = follow(last, stream.id, playlist)
        self._progress[asked.url] = progress
        if len(self._progress) > _URLS_MOST:
            del self._progress[next(iter(self._progress))]
        return progress


def _wanted(stream: Stream | None, infohash: str, call: Call) -> Wanted | None:
    """Where the session is forgotten, its URL still names the infohash."""
    if stream is not None:
        wanted = wanted_again(stream, call.arrival[0])
        return replace(wanted, player=call.player) if wanted.is_hls else None
    if not _INFOHASH.fullmatch(infohash):
        return None
    return Wanted(
        content=Content(KeyType.INFOHASH.value, infohash),
        is_hls=True,
        as_json=False,
        player=call.player,
        arrival=call.arrival[0],
    )

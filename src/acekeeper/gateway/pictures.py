"""A player asks for the picture of its session: `/ace/r`. The gateway asks the engine and passes
its redirect on, so it knows which players got their picture."""

import asyncio
import re
from asyncio import Event
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from secrets import token_hex

from acekeeper.core.gateway.facts import ReaderCame, ReaderLeft, ReaderSent
from acekeeper.core.gateway.model import Elsewhere, NotPlayed
from acekeeper.core.model import Stream
from acekeeper.gateway.again import HOPS_MOST, again, hop, waits_since
from acekeeper.gateway.awaited import Awaited
from acekeeper.gateway.context import Context, by_gateway
from acekeeper.gateway.door import Answer, Call, redirect, text
from acekeeper.gateway.opening import not_played, played
from acekeeper.gateway.visit import Place, Visit
from acekeeper.usecases.gateway import Failed
from acekeeper.usecases.requests import left, play, wanted_again

LASTS = 60.0  # a wait for the picture, all redirects included
_PATH = re.compile(r"/ace/r/\w{1,64}/(\w{1,64})", re.ASCII)
# Before a proxy that opened its session with JSON gives up, and before Kodi does.
_JSON_HOP, _HOP = 8.0, 15.0
_HAS_READER = Failed(NotPlayed.REFUSED, "the session has a reader already", 0)
_NO_PICTURE = Failed(NotPlayed.SILENT, "the engine sends no picture", 5)


class Pictures:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: dict[str, Event] = {}  # by token: set when its reader waits no more
        self._sent: dict[str, float] = {}  # by stream: when a reader was sent on to the engine

    async def picture(self, call: Call) -> Answer | None:
        named = _PATH.fullmatch(call.path)
        loop = self._context.loop
        stream = loop.state.streams.get(loop.state.tokens.get(named[1], "")) if named else None
        if stream is None:
            self._context.metrics.gateway_answered("not_found")
            return text(500, "download not found")
        for_json = by_gateway(stream).as_json
        now, hops = loop.clock(), hop(call)
        since = waits_since(call, now, LASTS)
        ends = since.mono + LASTS
        hops_at = now.mono + (_JSON_HOP if for_json else _HOP)
        is_last = hops >= (HOPS_MOST if for_json else 1)
        until = ends if is_last and not for_json else min(hops_at, ends)
        visit = Visit(self._context, call, since, ends, None if is_last else until, self._waits)
        awaited = Awaited(self._context, call.player, stream.id, stream.key, since)
        try:
            with awaited.watched():
                async with asyncio.timeout(until - now.mono):
                    outcome = await self._outcome(visit, stream)
        except TimeoutError:
            if not is_last:
                return again(call, since, hops + 1)
            words = visit.words
            outcome = Failed(NotPlayed.REFUSED, words, 0) if words else _NO_PICTURE
        if isinstance(outcome, Place):
            awaited.came()
            return redirect(call, outcome.path, outcome.port)
        if isinstance(outcome, Elsewhere):
            self._context.metrics.gateway_answered("served", stream.key)
            return played(outcome.origin, outcome.opening, outcome.is_hls, for_json=False)
        if outcome is _HAS_READER:
            self._context.metrics.gateway_answered("has_reader", stream.key)
        else:
            awaited.failed(outcome.words)
            if for_json:
                return None  # a proxy would pass an error on as a picture without bytes
        return not_played(outcome, for_json=False)

    async def _outcome(self, visit: Visit, stream: Stream) -> Place | Elsewhere | Failed:
        """A session has one reader: an engine cuts two of them off."""
        stream, has_reader = await self._turn(stream)
        if has_reader and by_gateway(stream).as_json:
            return _HAS_READER
        if has_reader:
            wanted = wanted_again(stream, visit.call.arrival[0])
            within = visit.ends - visit.since.mono
            loop, request = self._context.loop, token_hex(8)
            own = await play(loop, request, wanted, visit.since, within)
            if isinstance(own, Elsewhere):
                visit.call.if_gone.append(partial(loop.tell, left(request, own)))
            if not isinstance(own, Stream):
                return own
            stream = own
        with self._waits(stream) as sent:
            return await visit.reach(stream, sent)

    async def _turn(self, stream: Stream) -> tuple[Stream, bool]:
        """The session, or the one that took its place, and whether somebody else reads it. A proxy
        asks once for each of its viewers, and sends them one picture: its second request waits
        until the first one is answered."""
        loop = self._context.loop
        while True:
            stream = loop.state.newest(stream)
            if first := self._first(stream):
                if not by_gateway(stream).as_json:
                    return stream, True
                await first.wait()
                continue
            sent = self._sent.get(stream.id)
            if sent is None or stream.ended is not None:
                return stream, False
            await asyncio.sleep(sent + loop.rules.gone_after - loop.clock().mono)
            await loop.gateway.look()
            if not self._first(stream):
                look = loop.state.look
                return stream, look is not None and (stream.slot, stream.incarnation) in look.read

    def _first(self, stream: Stream) -> Event | None:
        """Set when the player that waits for this session is answered. That player may have asked
        before the session was moved."""
        waiting = (self._waiting.get(token) for token in stream.tokens)
        return next((over for over in waiting if over), None)

    @contextmanager
    def _waits(self, stream: Stream) -> Iterator[Callable[[], None]]:
        """A player waits for the picture of the session. The caller calls what this yields when the
        engine has sent the player on."""
        loop, is_sent = self._context.loop, False

        def sent() -> None:
            nonlocal is_sent
            is_sent = True

        over = self._waiting[stream.session] = Event()
        loop.tell(ReaderCame(stream.id))
        try:
            yield sent
        finally:
            if self._waiting.get(stream.session) is over:  # engines may name sessions alike
                del self._waiting[stream.session]
            over.set()
            if is_sent:
                self._sent = {i: at for i, at in self._sent.items() if i in loop.state.readers}
                self._sent[stream.id] = loop.clock().mono
            loop.tell(ReaderSent(stream.id) if is_sent else ReaderLeft(stream.id))

"""What the panel shows, told to each who looks as what has changed for it. It is made only then."""

import asyncio
import math
from asyncio import Event
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import msgspec

from acekeeper import __version__
from acekeeper.api import fleet, followers, vpns, wire_status
from acekeeper.api.context import Context
from acekeeper.api.health import breaker_state
from acekeeper.api.status import totals
from acekeeper.api.views import sample
from acekeeper.api.wire import moment
from acekeeper.core.health import health_score
from acekeeper.core.model import Engine, Now, Stream
from acekeeper.usecases.turns import one_by_one

_EVERY = 1.0  # at most one message in so many seconds; time alone changes some of it
_STREAMS = 1000  # events can name any number
_AT_ONCE = 200
_ENGINE = b'{"score":%d,"held":%b,"engine":%b}'
_STREAM = b'{"stream":%b,"sample":%b,"silent":%b}'

_encode = msgspec.json.Encoder().encode


class Shown(NamedTuple):
    """By name, as it is sent."""

    engines: Mapping[str, bytes]
    streams: Mapping[str, bytes]
    hosts: Mapping[str, bytes]
    overview: bytes


class Board:
    """Put together once for all who look in the same moment."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shown = Shown({}, {}, {}, b"")
        self._until = -math.inf  # monotonic
        self._making = asyncio.Lock()  # one message in a turn, however many look

    async def feed(self, _: Event) -> AsyncGenerator[bytes, None]:
        """First all of it, then what is not any more what was sent; what is gone is null."""
        yield followers.RETRY + b"\n"
        before, quiet = Shown({}, {}, {}, b""), 0.0
        while True:
            async with self._making:
                now = self._context.clock()
                after = await self._show(now)
                await asyncio.sleep(0)
                message = _message(before, after, now) if after != before else b""
            if message:
                yield message
                before, quiet = after, 0.0
            elif quiet >= followers.KEEP_ALIVE:
                yield followers.ALIVE
                quiet = 0.0
            await asyncio.sleep(_EVERY)
            quiet += _EVERY

    async def _show(self, now: Now) -> Shown:
        if now.mono >= self._until:
            self._until = now.mono + _EVERY / 2
            state = self._context.state
            engines = list(state.engines.values())
            # On our engines first.
            ids = chain(chain.from_iterable(state.playing.values()), state.elsewhere)
            streams = [state.streams[i] for i in islice(ids, _STREAMS)]
            self._shown = Shown(
                dict(await one_by_one(engines, partial(self._engine, now), _AT_ONCE)),
                dict(await one_by_one(streams, self._stream, _AT_ONCE)),
                {host: _encode(tile) for host, tile in fleet.tiles(self._context, now)},
                _encode(self._overview(now)),
            )
        return self._shown

    def _engine(self, now: Now, engine: Engine) -> tuple[str, bytes]:
        state = self._context.state
        score = health_score(engine, len(state.playing.get(engine.slot, ())), now)
        body = self._context.views.engine(engine)
        return engine.slot.container_name, _ENGINE % (score, _encode(self._held(engine)), body)

    def _held(self, engine: Engine) -> str | None:
        """Why nobody else can have it, beside its streams."""
        if engine.claim:
            return "viewer"
        if engine.doubt:
            return "try"
        holds = self._context.state.holds.get(engine.ref, ())
        if any(hold.opening for hold in holds):
            return "player"
        return "stop" if holds else None

    def _stream(self, stream: Stream) -> tuple[str, bytes]:
        state = self._context.state
        known = state.known(stream.id)
        last = _encode(known and sample(known))
        silent = _encode(state.is_silent(stream.id))
        return stream.id, _STREAM % (self._context.views.stream(stream), last, silent)

    def _overview(self, now: Now) -> wire_status.Overview:
        context = self._context
        status = totals(context, now)
        return wire_status.Overview(
            status=status.status,
            engines=status.engines,
            streams=status.streams,
            capacity=status.capacity,
            provisioning=status.provisioning,
            breaker=breaker_state(context.state.breaker, context.rules, now),
            gateway=status.gateway,
            rollout=status.rollout,
            maintenance=status.maintenance,
            vpns=vpns.bands(context.state, context.rules),
            fleet=status.fleet,
            degraded=context.degraded(),
            version=__version__,
        )


def _message(before: Shown, after: Shown, now: Now) -> bytes:
    return b'data: {"at":%b,"engines":%b,"streams":%b,"hosts":%b,"overview":%b}\n\n' % (
        _encode(moment(now.wall)),
        _changes(before.engines, after.engines),
        _changes(before.streams, after.streams),
        _changes(before.hosts, after.hosts),
        after.overview,
    )


def _changes(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> bytes:
    changed = [(name, body) for name, body in after.items() if before.get(name) != body]
    changed += [(name, b"null") for name in before if name not in after]
    return b"{%b}" % b",".join(b"%b:%b" % (_encode(name), body) for name, body in changed)

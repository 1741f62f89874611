"""Who reads the sessions of the gateway, and which of them nobody reads any more."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import assert_never

from msgspec.structs import replace

from acekeeper.core import callers, playback, streams, suspects
from acekeeper.core.doubt import Content
from acekeeper.core.gateway import contents
from acekeeper.core.gateway.actions import SeeReaders, Supersede
from acekeeper.core.gateway.facts import ReaderCame, ReaderLeft, ReaderSent, SessionRead
from acekeeper.core.gateway.model import Look, Reader, Ref, Sign
from acekeeper.core.model import ByGateway, Engine, Now, Stream
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

IDLE = "idle"
STOPPED = "stopped"
SUPERSEDED = "superseded"
_PLAYER_GOES_ON_WITHIN = 30.0  # then its old session is judged as any other


def is_played(state: State, content: Content) -> bool:
    """By a session of the gateway."""
    return content in state.sessions or contents.canonical(state, content) in state.sessions


def sessions_of(state: State, content: Content) -> Iterator[tuple[Stream, ByGateway, Reader]]:
    """Those of the gateway that are open and play a content."""
    names = content, contents.canonical(state, content)
    return _with_readers(state, {i: None for name in names for i in state.sessions.get(name, ())})


def _with_readers(state: State, ids: Iterable[str]) -> Iterator[tuple[Stream, ByGateway, Reader]]:
    for stream_id in ids:
        stream = state.streams[stream_id]
        if stream.gateway is not None:
            yield stream, stream.gateway, state.readers[stream_id]


def told(
    state: State,
    rules: Rules,
    fact: ReaderCame | ReaderSent | ReaderLeft | SessionRead,
    now: Now,
) -> None:
    reader = state.readers.get(fact.stream)
    if reader is None:
        return
    match fact:
        case ReaderCame():
            reader = replace(reader, came=True, waiting=reader.waiting + 1)
        case ReaderSent():
            _blame_the_one_before(state, rules, reader, state.streams[fact.stream], now)
            reader = replace(reader, waiting=_less(reader), last=now.mono, instead_of=None)
        case ReaderLeft():
            reader = replace(reader, waiting=_less(reader), last=now.mono)
        case SessionRead():
            reader = replace(reader, read=now.mono)
        case _:
            assert_never(fact)
    state.put_reader(fact.stream, reader)


def _less(reader: Reader) -> int:
    """Of one who waits no more; that one may have come to a session of the same name before."""
    return max(0, reader.waiting - 1)


def _blame_the_one_before(
    state: State, rules: Rules, reader: Reader, stream: Stream, now: Now
) -> None:
    """The content plays on this engine: the one on which its player waited in vain is doubted."""
    engine = None if reader.instead_of is None else state.current(*reader.instead_of)
    if engine is not None:
        content = playback.content_of(stream)
        suspects.suspect(state, rules, engine, content, suspects.SILENT, now)


def _lasts(rules: Rules, *, for_all: bool) -> Mapping[Sign, float]:
    """How long (seconds) a session counts as read after each sign of that, for the player it was
    given to or for all. One that is sent on connects at once or never."""
    return {
        Sign.GIVEN: rules.came_within,
        Sign.SENT: rules.gone_for_all if for_all else rules.gone_after,
        Sign.LIST: rules.list_read_within if for_all else rules.list_gone_after,
    }


def seen(state: State, rules: Rules, at: Now, read: frozenset[Ref]) -> None:
    state.look = Look(at.mono, read)
    state.seeing = False
    lasts = _lasts(rules, for_all=True)
    for stream, gateway, reader in _with_readers(state, state.readers):
        sign = reader.sign(is_hls=gateway.is_hls)
        if sign and not gateway.is_hls and (stream.slot, stream.incarnation) in read:
            sign = (Sign.LOOK, 0.0) if at.mono >= sign[1] + lasts[sign[0]] else sign
        state.signs.put(stream.id, sign)


def stop_asked(state: State, stream_id: str, now: Now) -> None:
    """A proxy stops its session once, however often it was given that."""
    stream = state.streams.get(stream_id)
    if stream is None or stream.gateway is None or stream.ended is not None:
        return
    if stream.gateway.is_hls:
        given_back(state, stream_id, now)
    else:
        streams.end_stream(state, stream, STOPPED, now, told=True)
        callers.stopped(state, stream, now)


def given_back(state: State, stream_id: str, now: Now) -> None:
    """By one of those to whom it was given: the session ends with the last of them."""
    reader = state.readers.get(stream_id)
    if reader is None:
        return
    if reader.players > 1:
        state.put_reader(stream_id, replace(reader, players=reader.players - 1))
    else:
        streams.end_stream(state, state.streams[stream_id], STOPPED, now, told=True)


def goes_on(state: State, player: str, content: Content, now: Now) -> None:
    """A player asks for something: its session, if it has only this one, may soon be unread."""
    given = _with_readers(state, state.given.get(player, ()))
    own = [each for each in given if not each[1].as_json]
    if len(own) == 1:
        [(stream, gateway, reader)] = own
        plays = contents.canonical(state, contents.of_stream(stream))
        same = plays == contents.canonical(state, content)
        if not (same and gateway.is_hls):  # else it is given the same session again
            state.put_reader(stream.id, replace(reader, replaced=now.mono))


def replaced(state: State, rules: Rules, now: Now) -> Iterator[Supersede | SeeReaders | float]:
    """A session whose player went on to another one ends as soon as the player has left it."""
    its = _lasts(rules, for_all=False)
    for stream, _, reader in _with_readers(state, state.gone_on):
        if reader.replaced is None or now.mono >= reader.replaced + _PLAYER_GOES_ON_WITHIN:
            continue
        until = _read_until(state, rules, stream, its, now)
        if until is None:
            yield SeeReaders()
        else:
            yield until if until > now.mono else Supersede(stream.id)


class Unread:
    """What players may take from others who left. Judged once for all players that wait; what one
    of them takes is not there for the next."""

    def __init__(self, state: State, rules: Rules, now: Now) -> None:
        self._state = state
        self._rules = rules
        self._now = now
        self._looked_until = state.look.at + rules.look_lasts if state.look else -math.inf

    def take(self, fits: Callable[[Engine], bool]) -> Stream | tuple[SeeReaders | float, ...]:
        """The session that nobody has read for longest, on an engine that fits; or what tells
        when there is one."""
        gone, unseen, due = self._judged
        for nth, (_, stream, engine) in enumerate(gone):
            if fits(engine):
                del gone[nth]
                return stream
        if self._now.mono >= self._looked_until:
            unseen = chain(unseen, (engine for _, _, engine in self._alone(Sign.LOOK)))
        return (SeeReaders(), due) if any(map(fits, unseen)) else (due,)

    @cached_property
    def _judged(self) -> tuple[list[tuple[float, Stream, Engine]], Iterable[Engine], float]:
        """Sessions whose end would free their engine: those that nobody reads, the longest unread
        first; the engines of those of which only a look can tell, but for those that the last look
        found read; and until when (monotonic) the others count as read."""
        state, rules, now = self._state, self._rules, self._now
        lasts = _lasts(rules, for_all=True)
        gone, unseen, due = [], [], math.inf
        for sign, seconds in lasts.items():
            for since, stream, engine in self._alone(sign):
                until = _read_until(state, rules, stream, lasts, now)
                if until is None:
                    unseen.append(engine)
                elif until > now.mono:
                    due = min(due, until)
                else:
                    reader = state.readers[stream.id]
                    gone.append((max(reader.last, reader.read), stream, engine))
                if now.mono < since + seconds:
                    break  # those that were read later are read, too
        if now.mono < self._looked_until and any(self._alone(Sign.LOOK)):
            due = min(due, self._looked_until)
        return sorted(gone, key=itemgetter(0)), unseen, due

    def _alone(self, sign: Sign) -> Iterator[tuple[float, Stream, Engine]]:
        """With the moment of that sign, the earliest first."""
        state = self._state
        for since, stream_id in state.signs.ranks.get(sign, ()):
            stream = state.streams[stream_id]
            engine = state.current(stream.slot, stream.incarnation) if stream.slot else None
            if engine is not None and _has_nothing_else(state, engine):
                yield since, stream, engine


def _has_nothing_else(state: State, engine: Engine) -> bool:
    """Whether it is free when the one session on it has ended."""
    is_alone = len(state.playing[engine.slot]) == 1
    return engine.listed and is_alone and engine.ref not in state.holds


def _read_until(
    state: State, rules: Rules, stream: Stream, lasts: Mapping[Sign, float], now: Now
) -> float | None:
    """When (monotonic) a session counts as read no more. None: a look must tell."""
    gateway = stream.gateway
    sign = state.readers[stream.id].sign(is_hls=gateway.is_hls) if gateway else None
    if sign is None:
        return math.inf
    due = sign[1] + lasts[sign[0]]
    if now.mono < due or sign[0] is Sign.LIST:
        return due
    seen = state.look
    if seen is None or seen.at < due or seen.at + rules.look_lasts <= now.mono:
        return None
    is_read = (stream.slot, stream.incarnation) in seen.read
    return seen.at + rules.look_lasts if is_read else due


def end_idle(state: State, rules: Rules, now: Now) -> None:
    """Ends the sessions that nobody has read, or asked about, for that long."""
    for stream, gateway, reader in list(_with_readers(state, state.readers)):
        engine = state.current(stream.slot, stream.incarnation) if stream.slot else None
        if engine is None or reader.waiting:
            continue
        heard = max(reader.read, reader.last)
        if gateway.is_hls:
            idle = now.mono - heard >= max(rules.gateway_idle, rules.list_read_within)
        else:
            unread = callers.nobody_for(state, engine) >= rules.gateway_idle
            idle = unread and now.mono - heard >= rules.gateway_idle
        if idle:
            streams.end_stream(state, stream, IDLE, now)

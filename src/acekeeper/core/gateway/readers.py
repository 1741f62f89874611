"""Who reads the sessions of the gateway, and which of them nobody reads any more."""

import math
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import cached_property
from typing import NamedTuple, assert_never

from msgspec.structs import replace

from acekeeper.core import callers, playback, streams, suspects
from acekeeper.core.doubt import Content
from acekeeper.core.gateway import contents
from acekeeper.core.gateway.actions import SeeReaders, Supersede
from acekeeper.core.gateway.facts import ReaderCame, ReaderLeft, ReaderSent, SessionRead
from acekeeper.core.gateway.model import Look, Reader, Ref
from acekeeper.core.model import ByGateway, Engine, Now, Rules, Stream
from acekeeper.core.state import State

IDLE = "idle"
STOPPED = "stopped"
SUPERSEDED = "superseded"
_PLAYER_GOES_ON_WITHIN = 30.0  # then its old session is judged as any other


class _Patience(NamedTuple):
    """How long (seconds) a session counts as read after its list was fetched, and after a player
    was sent on to the engine, where it connects at once or never."""

    list_lasts: float
    sent_lasts: float


class Read(Enum):
    YES = "yes"
    NO = "no"
    UNSEEN = "unseen"  # a look at the connections must tell


def sessions(state: State) -> Iterator[tuple[Stream, ByGateway, Reader]]:
    """Those of the gateway that are open."""
    return _with_readers(state, state.readers)


def is_played(state: State, content: Content) -> bool:
    """By a session of the gateway."""
    return content in state.sessions or contents.canonical(state, content) in state.sessions


def sessions_of(state: State, content: Content) -> Iterator[tuple[Stream, ByGateway, Reader]]:
    """Of these, those that play a content."""
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


def seen(state: State, at: Now, read: frozenset[Ref]) -> None:
    state.look = Look(at.mono, read)
    state.seeing = False


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
    own = [
        (stream, reader)
        for stream, gateway, reader in _with_readers(state, state.given.get(player, ()))
        if not gateway.as_json
    ]
    if len(own) == 1:
        [(stream, reader)] = own
        same = contents.canonical(state, contents.of_stream(stream)) == contents.canonical(
            state, content
        )
        is_hls = stream.gateway is not None and stream.gateway.is_hls
        if not (same and is_hls):  # else it is given the same session again
            state.put_reader(stream.id, replace(reader, replaced=now.mono))


def replaced(state: State, rules: Rules, now: Now) -> Iterator[Supersede | SeeReaders | float]:
    """A session whose player went on to another one ends as soon as the player has left it."""
    its = _Patience(rules.list_gone_after, rules.gone_after)
    for stream, _, reader in _with_readers(state, state.gone_on):
        if reader.replaced is None or now.mono >= reader.replaced + _PLAYER_GOES_ON_WITHIN:
            continue
        is_read, due = _judge(state, rules, stream, its, now)
        if is_read is Read.NO:
            yield Supersede(stream.id)
        elif is_read is Read.UNSEEN:
            yield SeeReaders()
        else:
            yield due


class _Judged(NamedTuple):
    """Sessions whose end would free their engine, by whether they are read; the one that was read
    least lately comes first. `due` (monotonic): until when the others count as read."""

    gone: list[tuple[Stream, Engine]]
    unseen: list[Engine]
    due: float


class Unread:
    """What players may take from others who left. Judged once for all players that wait; what one
    of them takes is not there for the next."""

    def __init__(self, state: State, rules: Rules, now: Now) -> None:
        self._state = state
        self._rules = rules
        self._now = now

    def take(self, fits: Callable[[Engine], bool]) -> Stream | tuple[SeeReaders | float, ...]:
        """The session that nobody has read for longest, on an engine that fits; or what tells
        when there is one."""
        gone, unseen, due = self._judged
        for nth, (stream, engine) in enumerate(gone):
            if fits(engine):
                del gone[nth]
                return stream
        return (SeeReaders(), due) if any(map(fits, unseen)) else (due,)

    @cached_property
    def _judged(self) -> _Judged:
        state, rules, now = self._state, self._rules, self._now
        everybody = _Patience(rules.list_read_within, rules.gone_for_all)
        gone, unseen, due = [], [], math.inf
        oldest = sorted(sessions(state), key=lambda session: max(session[2].last, session[2].read))
        for stream, _, _ in oldest:
            engine = state.current(stream.slot, stream.incarnation) if stream.slot else None
            if engine is None or not _has_nothing_else(state, engine):
                continue
            is_read, until = _judge(state, rules, stream, everybody, now)
            if is_read is Read.NO:
                gone.append((stream, engine))
            elif is_read is Read.UNSEEN:
                unseen.append(engine)
            else:
                due = min(due, until)
        return _Judged(gone, unseen, due)


def _has_nothing_else(state: State, engine: Engine) -> bool:
    """Whether it is free when the one session on it has ended."""
    is_alone = len(state.playing[engine.slot]) == 1
    return engine.listed and is_alone and engine.ref not in state.holds


def _judge(
    state: State, rules: Rules, stream: Stream, patience: _Patience, now: Now
) -> tuple[Read, float]:
    """Whether a session is read, and until when (monotonic) that stands."""
    reader, gateway = state.readers[stream.id], stream.gateway
    if gateway is None or reader.waiting:
        return Read.YES, math.inf
    if gateway.is_hls:
        due = max(reader.opened, reader.read) + patience.list_lasts
        return (Read.NO if now.mono >= due else Read.YES), due
    due = reader.last + patience.sent_lasts if reader.came else reader.opened + rules.came_within
    if now.mono < due:
        return Read.YES, due
    seen = state.look
    if seen is None or seen.at < due or seen.at + rules.look_lasts <= now.mono:
        return Read.UNSEEN, math.inf
    is_read = (stream.slot, stream.incarnation) in seen.read
    return (Read.YES, seen.at + rules.look_lasts) if is_read else (Read.NO, math.inf)


def end_idle(state: State, rules: Rules, now: Now) -> None:
    """Ends the sessions that nobody has read, or asked about, for that long."""
    for stream, gateway, reader in list(sessions(state)):
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

"""Who is connected to the engines. A client whose `getstream` hangs sends no event: that it is
connected to an engine, and that no stream begins there, is all there is to see. Nor does the end
of a stream always come: where the engine says nothing of it, who is connected tells."""

import math

from msgspec.structs import replace

from acekeeper.core import playback, streams, suspects
from acekeeper.core.doubt import Callers, Heard
from acekeeper.core.facts import ConnectionsSeen
from acekeeper.core.model import Engine, Now, Stream
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

_WAITS = 25.0  # a client gives up a getstream after 20 s: a longer connection waits for none
_UNREAD = "unread"
_SPENT = -math.inf  # a connection that counts no more


def seen(state: State, rules: Rules, fact: ConnectionsSeen, now: Now) -> None:
    """What a look found. A connection counts if it is there at two looks: one that lasts a moment,
    as a health check's does, waits for nothing."""
    before, state.callers, state.staying = state.callers, {}, {}
    for ref, names in fact.callers.items():
        if state.current(*ref) is not None:
            state.put_callers(ref, _after(before.get(ref), names, fact.at.mono))
    for ref, callers in list(state.callers.items()):
        engine = state.engines[ref[0]]
        stayed = callers.since.keys() & before[ref].since.keys() if ref in before else set[str]()
        if engine.doubt is not None:
            _clear(state, rules, engine, bool(stayed), now)
        elif _is_idle(state, engine) and any(callers.since[n] > _ended(engine) for n in stayed):
            spent = dict.fromkeys(callers.since, _SPENT)
            state.put_callers(ref, replace(callers, since=spent))
            _suspect(state, rules, engine, now)
    suspects.choose(state, rules, now)  # a place may have become free since


def _after(last: Callers | None, names: frozenset[str], at: float) -> Callers:
    """Nobody knows how old the connections of the first look are."""
    if last is None:
        return Callers(at, dict.fromkeys(names, _SPENT), None if names else at)
    nobody = at if last.nobody is None else last.nobody
    return replace(
        last,
        at=at,
        since={n: last.since.get(n, last.at) for n in names},
        nobody=None if names else nobody,
        staying=last.staying & names,
    )


def stopped(state: State, stream: Stream, now: Now) -> None:
    """A player stopped this stream: if nothing else plays on its engine, who was connected there
    is to leave."""
    engine = state.current(stream.slot, stream.incarnation) if stream.slot else None
    if engine is None or engine.slot in state.playing or engine.ref not in state.callers:
        return
    last = state.callers[engine.ref]
    left = replace(last, stopped=now.mono, staying=frozenset(last.since))
    state.put_callers(engine.ref, left)


def is_left_read(callers: Callers, rules: Rules) -> bool:
    """Whether somebody goes on reading what was stopped, so that nobody could tell any more when
    a later stream of this engine is not read."""
    return bool(callers.staying) and callers.at - callers.stopped >= rules.still_read_after


def end_unread(state: State, rules: Rules, now: Now) -> None:
    """Streams of which nothing was heard while nobody was connected, both for so long."""
    for slot in list(state.playing):
        engine = state.engines.get(slot)
        if engine is None or nobody_for(state, engine) < rules.unread_after:
            continue
        last = state.callers[engine.ref].at
        for stream in list(state.started_on(slot)):
            silent = state.heard.get(stream.id, Heard()).silent
            if silent is not None and last - silent >= rules.unread_after:
                streams.end_stream(state, stream, _UNREAD, now)


def nobody_for(state: State, engine: Engine) -> float:
    """The seconds for which no look found anybody, from the first such look to the last."""
    callers = state.callers.get(engine.ref)
    return 0.0 if callers is None or callers.nobody is None else callers.at - callers.nobody


def _ended(engine: Engine) -> float:
    """The end of its last stream: a client keeps a connection for a while, and uses it again."""
    return engine.used.mono if engine.used else _SPENT


def _is_idle(state: State, engine: Engine) -> bool:
    return engine.listed and engine.claim is None and state.is_vacant(engine)


def _suspect(state: State, rules: Rules, engine: Engine, now: Now) -> None:
    if engine.cleared is not None and now.mono - engine.cleared < rules.blame_lasts:
        return  # it was found well lately: the content they ask for is to blame
    content = playback.content_that_plays(state)
    suspects.suspect(state, rules, engine, content, suspects.CONNECTION, now)


def _clear(state: State, rules: Rules, engine: Engine, stayed: bool, now: Now) -> None:
    """No engine is tried while somebody is connected. A connection that outlasts the wait for a
    getstream is a viewer of whom no event told: the doubt ends, or it would last for ever."""
    doubt = engine.doubt
    if doubt is None or doubt.trying or doubt.failures or engine.slot in state.playing:
        return
    lasts = _WAITS if doubt.why == suspects.CONNECTION else rules.blame_lasts
    if stayed and now.mono - doubt.since >= lasts:
        playback.trust(state, rules, engine, now)

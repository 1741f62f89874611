"""Streams: started and ended by the client's events, confirmed by what their engines say."""

import math
from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from acekeeper.core import admission, demand, playback, starvation
from acekeeper.core.doubt import Heard
from acekeeper.core.facts import StreamEnded, StreamsAsked, StreamStarted
from acekeeper.core.gateway import contents
from acekeeper.core.gateway.model import Hold
from acekeeper.core.model import EarlyEnd, Engine, Now, Place, Stream
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.texts import of_its_own, shared

UNKNOWN_TO_ENGINE = "unknown_to_engine"
_EARLY_ENDS_MOST = 10_000  # at a host that has so many streams in an hour, the newest
# So much is forgotten at once.
_IN_PASSING = 500
WITH_AN_EVENT = 2  # which adds one at the most


def locate(
    state: State, rules: Rules, addresses: Sequence[tuple[str, int]], container_id: str
) -> Engine | None:
    """The engine of ours an event speaks of: by address first, by container id last."""
    for host, port in addresses:
        if host in rules.local_names:
            engine = state.engines.get(Slot(rules.host, port))
            if engine is not None and engine.incarnation:  # else it speaks of the one before
                return engine
    return state.find(container_id)


def end_target(state: State, fact: StreamEnded) -> Stream | None:
    """The stream an end speaks of. Without an id it must be the only one on its engine:
    ending the wrong viewer's stream is worse than ending none."""
    if fact.id:
        return state.streams.get(fact.id)
    engine = state.find(fact.container_id)
    playing = list(state.started_on(engine.slot)) if engine else []
    return playing[0] if len(playing) == 1 else None


def stream_started(state: State, rules: Rules, fact: StreamStarted, now: Now) -> None:
    before = state.streams.get(fact.id)
    if before is not None and before.session == fact.session:
        return  # told twice, or its end overtook it
    if before is not None and before.ended is None:
        end_stream(state, before, "superseded", now)
    engine = locate(state, rules, fact.addresses, fact.container_id)
    early = state.early_ends.get(fact.id)
    stream = Stream(
        id=fact.id,
        key_type=fact.key_type,
        key=shared(fact.key),
        session=fact.session,
        stat_url=fact.stat_url,
        own_command_url=of_its_own(fact.command_url, fact.stat_url),
        is_live=fact.is_live,
        address=fact.addresses[0],
        also=() if engine else fact.addresses[1:],
        named="" if engine else fact.container_id,
        started=now,
        slot=engine.slot if engine else None,
        incarnation=engine.incarnation if engine else "",
        container_id=engine.container_id if engine else "",
    )
    begin(state, rules, stream, engine, now)
    if early is not None:
        state.put_early_end(fact.id, None)
        end_stream(state, stream, early.reason or "ended", now, told=True)


def begin(state: State, rules: Rules, stream: Stream, engine: Engine | None, now: Now) -> None:
    """`engine`: the one of ours that it plays on."""
    state.tell("stream_started", stream.slot, stream.id, managed=engine is not None)
    was_free = engine is not None and state.is_free(engine, rules)
    state.put_stream(stream)
    if engine is not None:
        # A session that was to be stopped is cut by this one, which its stop would end.
        if held := state.holds.get(engine.ref):
            state.put_holds(engine.ref, contents.others(state, held, contents.of_stream(stream)))
        _plays_on(state, engine, stream, now)
        if was_free and not state.has_room(engine, rules):
            demand.taken(state, rules, now)


def stream_ended(state: State, rules: Rules, fact: StreamEnded, now: Now) -> None:
    stream = end_target(state, fact)
    if stream is None:
        if fact.id and fact.id not in state.early_ends:
            state.put_early_end(fact.id, EarlyEnd(now, fact.reason))
            state.tell("early_end_remembered", None, fact.id, reason=fact.reason)
        return
    if stream.ended is None:
        heard = state.heard.get(stream.id)
        end_stream(state, stream, fact.reason or "ended", now, told=True)
        stream = state.streams[stream.id]
        engine = _engine_of(state, stream)
        if engine is not None and playback.smells(stream):
            playback.ended_badly(state, rules, engine, stream, heard or Heard(), now)


def end_stream(state: State, stream: Stream, reason: str, now: Now, *, told: bool = False) -> None:
    """`told`: an event said so."""
    engine = _engine_of(state, stream)
    if engine is not None and reason != UNKNOWN_TO_ENGINE:
        _hold(state, engine, stream, now)
    stream = replace(stream, ended=now, reason=reason)
    state.put_stream(stream)
    state.tell(
        "stream_ended",
        stream.slot,
        stream.id,
        reason=reason,
        reaped=not told,
        failed=engine is not None and playback.smells(stream),
        seconds=round(now.mono - stream.started.mono, 3),
    )
    if engine is not None:
        over = engine.slot not in state.playing
        free = now if engine.claim is None and state.is_vacant(engine) else None
        handed = engine.handed
        if over and handed and engine.claim is None and handed.mono <= stream.started.mono:
            handed = None  # the viewer it was handed to has come and gone: it need not rest
        state.put(replace(engine, used=now, free_since=free, handed=handed))
        if over:
            starvation.over(state, state.engines[engine.slot], now)


def _hold(state: State, engine: Engine, stream: Stream, now: Now) -> None:
    """What the gateway opened goes on until the engine was told to stop it, and others must not get
    the engine before. If that is cut already, a stop would end what cut it."""
    if stream.gateway is not None and not contents.is_cut(state, stream):
        opening = stream.gateway.opening
        held = Hold(contents.of_stream(stream), now, opening.infohash, opening.token)
        state.put_holds(engine.ref, (*state.holds.get(engine.ref, ()), held))


def end_all(state: State, engine: Engine, reason: str, now: Now) -> None:
    """Streams die with their incarnation."""
    for stream in list(state.started_on(engine.slot)):
        if stream.incarnation == engine.incarnation:
            end_stream(state, stream, reason, now)


def streams_asked(state: State, rules: Rules, fact: StreamsAsked, now: Now) -> None:
    on_it = {s.ref: s for s in state.started_on(fact.slot) if s.incarnation == fact.incarnation}
    samples = {ref: sample for ref, sample in fact.samples.items() if ref in on_it}
    for ref, sample in samples.items():
        state.put_sample(on_it[ref], sample)
        playback.moved(state, rules, on_it[ref], sample, now)
    for ref in sorted(fact.silent & on_it.keys()):
        state.put_silence(on_it[ref], now)
    engine = state.current(fact.slot, fact.incarnation)
    if engine is not None:
        starvation.sampled(state, rules, engine, samples.values(), now)
    for stream_id, _ in sorted(fact.unknown & on_it.keys()):
        end_stream(state, state.streams[stream_id], UNKNOWN_TO_ENGINE, now)


def claim_unmapped(state: State, rules: Rules, slot: Slot, now: Now) -> None:
    """An engine that was found, named or identified takes the streams that were announced before,
    by all that their events said. A stream that was announced before we started the engine was on
    the one before it."""
    engine = state.engines[slot]
    since = -math.inf if engine.started is None else engine.created.mono
    for stream in unmapped(state, rules, slot, engine.container_id):
        if stream.started.mono < since:
            continue
        found = locate(state, rules, (stream.address, *stream.also), stream.named)
        if found is None or found.slot != slot:
            continue
        state.put_stream(
            replace(
                stream,
                also=(),
                named="",
                slot=slot,
                incarnation=engine.incarnation,
                container_id=engine.container_id,
            )
        )
        _plays_on(state, state.engines[slot], stream, now)


def _plays_on(state: State, engine: Engine, stream: Stream, now: Now) -> None:
    """A viewer has the engine now: a request that it was promised to, and that is not answered
    yet, waits again. A player of the gateway has its place beside the promised one."""
    drain = replace(engine.drain, idle=False) if engine.drain else None
    claim = None if stream.gateway is None else engine.claim
    state.put(replace(engine, used=now, claim=claim, free_since=None, drain=drain))
    if claim is None:
        admission.turn_away(state, engine)


def unmapped(state: State, rules: Rules, slot: Slot, container_id: str) -> list[Stream]:
    """Those elsewhere that may be there, by any name of this host or of its container; the oldest
    first."""
    places: list[Place] = [(name, slot.port) for name in rules.local_names]
    if container_id:
        places.append(container_id)
    ids = {i for place in places for i in state.unmapped.get(place, ())}
    found = (state.streams[i] for i in ids)
    return sorted(found, key=lambda stream: (stream.started.mono, stream.id))


def forget_old(state: State, rules: Rules, now: Now, at_most: int = _IN_PASSING) -> None:
    """Drops what nobody needs any more, so that memory stays flat: so many of a kind, the oldest
    first, since the order of insertion is the order of time."""
    for stream in map(state.streams.__getitem__, tuple(islice(state.elsewhere, at_most))):
        if now.mono - stream.started.mono < rules.unmanaged_stream_ttl:
            break
        state.remove_stream(stream)
        state.tell("stream_expired", None, stream.id)
    over = min(at_most, len(state.ended) - rules.keep_ended)
    for stream in map(state.streams.__getitem__, tuple(islice(state.ended, max(0, over)))):
        state.remove_stream(stream)
        if stream.ended is not None and now.mono - stream.ended.mono < rules.remember_ended:
            state.put_early_end(stream.id, EarlyEnd(stream.ended, stream.reason))
    over = len(state.early_ends) - _EARLY_ENDS_MOST
    while at_most and state.early_ends:
        stream_id, end = next(iter(state.early_ends.items()))
        if over <= 0 and now.mono - end.at.mono < rules.remember_ended:
            break
        state.put_early_end(stream_id, None)
        at_most, over = at_most - 1, over - 1


def _engine_of(state: State, stream: Stream) -> Engine | None:
    return state.current(stream.slot, stream.incarnation) if stream.slot else None

"""How a player's wait for a session ends: engines open it, refuse it, or do not answer."""

from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from acekeeper.core import demand, playback, streams, suspects
from acekeeper.core.gateway import choice, contents, elsewhere, holds, readers
from acekeeper.core.gateway.actions import Fail, Open, Supersede
from acekeeper.core.gateway.facts import (
    PlayerLeft,
    PlayOpened,
    PlayRefused,
    PlayRequested,
    PlaySilent,
)
from acekeeper.core.gateway.hosts import Hosts
from acekeeper.core.gateway.model import Attempt, Hold, NotPlayed, Play, Reader, Ref
from acekeeper.core.model import ByGateway, Engine, KeyType, Now, Opening, Phase, Stream
from acekeeper.core.names import HERE
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

MOVED = "moved"
_TOKENS_KEPT = 8  # of the sessions before


def requested(state: State, rules: Rules, fact: PlayRequested, now: Now) -> None:
    """It counts as demand at once: an engine that starts for somebody else who waits is not there
    for this player."""
    if fact.request in state.plays:
        return
    play = Play(
        id=fact.request,
        wanted=fact.wanted,
        received=fact.received,
        until=fact.received.mono + fact.within,
        instead_of=fact.instead_of,
        for_host=fact.for_host,
        may_start=fact.may_start,
    )
    state.plays[play.id] = play
    waiting = choice.players_waiting(state, rules, now)
    if play.id in waiting and not _goes_elsewhere(state, rules, play, len(waiting), now):
        demand.taken(state, rules, now, len(waiting))
    if not (fact.wanted.as_json or fact.instead_of):
        readers.goes_on(state, fact.wanted.player, fact.wanted.content, now)


def _goes_elsewhere(state: State, rules: Rules, play: Play, waiting: int, now: Now) -> bool:
    """Whether it is soon off to another host: there are not enough engines here."""
    is_brief = not play.may_start or Hosts(state, rules, now).concern(play)
    return is_brief and demand.ready_or_coming(state, rules) < waiting


def open_on(state: State, action: Open, now: Now) -> None:
    play, engine = state.plays[action.request], state.engines[action.slot]
    content = play.wanted.content
    holds.add(
        state, engine.ref, Hold(content, since=now, is_hls=play.wanted.is_hls, opening=play.id)
    )
    state.put(replace(engine, free_since=None))
    state.plays[play.id] = replace(
        play,
        attempts=(*play.attempts, Attempt(engine.ref, now.mono)),
        tried=play.tried | {engine.ref},
        waits_for=None,
    )


def opened(state: State, rules: Rules, fact: PlayOpened, now: Now) -> None:
    ref, play = fact.ref, state.plays.get(fact.request)
    engine = state.current(*ref)
    hold = holds.opening(state, ref, fact.request)
    if engine is None or hold is None:
        return
    opening = fact.opening
    if hold.content.key_type != KeyType.INFOHASH:
        contents.told(state, hold.content, opening.infohash)
    state.refusals.pop(contents.canonical(state, hold.content), None)
    _no_more_asked(state, play, ref)
    is_of_use = engine.phase is not Phase.STOPPING and not _is_named_as_another(state, opening)
    if play is None or play.there or not is_of_use or choice.session_for(state, play) is not None:
        held = replace(hold, infohash=opening.infohash, token=opening.token)
        holds.change(state, ref, hold, _to_be_stopped(held, now), now)
    else:
        _begin(state, rules, play, fact, now)
        holds.change(state, ref, hold, None, now)


def _is_named_as_another(state: State, opening: Opening) -> bool:
    """Players would get the picture of the one for that of the other."""
    ids = f"{opening.infohash}|{opening.token}", state.tokens.get(opening.token, "")
    return any(i in state.streams and state.streams[i].ended is None for i in ids)


def _to_be_stopped(hold: Hold, now: Now) -> Hold:
    return replace(hold, opening="", since=now, retry=now.mono)


def _begin(state: State, rules: Rules, play: Play, fact: PlayOpened, now: Now) -> None:
    ref = fact.ref
    if not choice.is_slow(state, rules, now):
        late = {a.ref for a in play.attempts if a.ref != ref and choice.is_late(a.at, rules, now)}
        _suspect(state, rules, play, play.silent | late, now)
    old = _moved_from(state, play)
    reader = state.readers.get(old.id) if old else None
    waited_on = None
    if old is not None and old.ended is None:
        if old.slot and not play.wanted.is_hls:
            waited_on = old.slot, old.incarnation
        streams.end_stream(state, old, MOVED, now)
    engine = state.engines[fact.slot]
    stream = _stream(play, engine, fact, old, now)
    streams.begin(state, rules, stream, engine, now)
    reader = Reader(
        now.mono,
        last=now.mono,
        instead_of=waited_on,
        players=reader.players if reader else 1,
        player=_only(reader, play.wanted.player),
    )
    state.put_reader(stream.id, reader)
    state.plays[play.id] = replace(state.plays[play.id], stream=stream.id)
    state.tell(
        "play_opened",
        stream.slot,
        stream.id,
        player=play.wanted.player,
        key=play.wanted.content.key,
        waited=round(now.mono - play.received.mono, 3),
        tries=len(play.tried),
        hedged=len(play.attempts) > 1,
        won=len(play.attempts) > 1 and play.attempts[0].ref != ref,
        moved=bool(play.instead_of),
    )


def _moved_from(state: State, play: Play) -> Stream | None:
    named = state.streams.get(play.instead_of)
    return named and state.newest(named)


def _stream(play: Play, engine: Engine, fact: PlayOpened, old: Stream | None, now: Now) -> Stream:
    wanted, opening = play.wanted, fact.opening
    return Stream(
        id=f"{opening.infohash}|{opening.token}",
        key_type=KeyType(wanted.content.key_type),
        key=wanted.content.key,
        session=opening.token,
        stat_url=f"http://{HERE}:{engine.slot.port}/ace/stat/{opening.infohash}/{opening.token}",
        is_live=opening.is_live,
        address=(HERE, engine.slot.port),
        started=now,
        slot=engine.slot,
        incarnation=engine.incarnation,
        container_id=engine.container_id,
        gateway=ByGateway(
            opening=opening,
            player=wanted.player,
            arrival=wanted.arrival,
            as_json=wanted.as_json,
            is_hls=wanted.is_hls,
            query=wanted.query,
            tokens=old.tokens[-_TOKENS_KEPT:] if old else (),
            moved=old is not None and not wanted.is_hls,
        ),
    )


def refused(state: State, fact: PlayRefused, now: Now) -> None:
    play = _over(state, fact.request, fact.ref, keeps=False, now=now)
    if play is not None:
        contents.refused(state, play, fact.words, now)


def silent(state: State, rules: Rules, fact: PlaySilent, now: Now) -> None:
    """Nobody knows whether a session was opened there."""
    ref = fact.ref
    engine = state.current(*ref)
    play = _over(state, fact.request, ref, keeps=True, now=now)
    if engine is not None:
        state.put(engine.to_be_asked())
    if play is not None and not fact.excused:
        play = replace(play, silent=play.silent | {ref})
        state.plays[play.id] = play
        _blame(state, rules, play, frozenset(), now)


def _over(state: State, request: str, ref: Ref, *, keeps: bool, now: Now) -> Play | None:
    """An engine that was asked for a play gave it no session. `keeps`: it may have opened one all
    the same, if none of that content was opened there since, which a stop would end."""
    hold = holds.opening(state, ref, request)
    if hold is not None:
        keeps = keeps and not contents.plays(state, ref, hold.content)
        holds.change(state, ref, hold, _to_be_stopped(hold, now) if keeps else None, now)
    play = state.plays.get(request)
    _no_more_asked(state, play, ref)
    return state.plays.get(request)


def _no_more_asked(state: State, play: Play | None, ref: Ref) -> None:
    if play is not None:
        attempts = tuple(attempt for attempt in play.attempts if attempt.ref != ref)
        state.plays[play.id] = replace(play, attempts=attempts)


def _blame(state: State, rules: Rules, play: Play, late: frozenset[Ref], now: Now) -> None:
    """One engine that says nothing hangs; if two say nothing, the content is to blame, as long as
    it opens nowhere else."""
    content = play.wanted.content
    engines = play.silent | late
    if len(engines) > 1:
        playback.blame(state, rules, content, engines, now)
    elif not playback.is_blamed(state, rules, content, now):
        _suspect(state, rules, play, engines, now)


def _suspect(state: State, rules: Rules, play: Play, engines: AbstractSet[Ref], now: Now) -> None:
    """Each is tried with a content that plays before anybody gets it again."""
    content = playback.content_that_plays(state) or playback.content_by_id(play.wanted.content)
    for ref in engines:
        engine = state.current(*ref)
        if engine is not None:
            suspects.suspect(state, rules, engine, content, suspects.SILENT, now)


def left(state: State, fact: PlayerLeft, now: Now) -> None:
    """The engines that were asked go on, and what they open is stopped. So is what was opened for
    it already, here or elsewhere."""
    play = state.plays.pop(fact.request, None)
    readers.given_back(state, play.stream if play else fact.stream, now)
    if play is not None:
        elsewhere.give_up(state, play)
    elif fact.host:
        elsewhere.drop(state, fact.host, fact.request)


def serve(state: State, request: str, stream_id: str, now: Now) -> None:
    play = state.plays.pop(request)
    elsewhere.give_up(state, play)
    if play.stream != stream_id:
        _share(state, play, state.streams[stream_id], now)


def _share(state: State, play: Play, stream: Stream, now: Now) -> None:
    """A session that was opened for another player becomes this one's too."""
    reader = state.readers[stream.id]
    reader = replace(
        reader,
        players=reader.players + 1,
        player=_only(reader, play.wanted.player),
        replaced=None,
    )
    state.put_reader(stream.id, reader)
    old = _moved_from(state, play)
    if old is None or old.id == stream.id or stream.gateway is None:
        return
    if old.ended is None:
        streams.end_stream(state, old, MOVED, now)
    tokens = dict.fromkeys((*stream.gateway.tokens, *old.tokens))
    gateway = replace(stream.gateway, tokens=tuple(tokens)[:_TOKENS_KEPT])
    state.put_stream(replace(stream, gateway=gateway))


def _only(reader: Reader | None, player: str) -> str:
    """The one address to which a session was given that is now given to `player` too."""
    return player if reader is None or reader.player == player else ""


def fail(state: State, rules: Rules, action: Fail, now: Now) -> None:
    play = state.plays.pop(action.request)
    elsewhere.give_up(state, play)
    if action.why is NotPlayed.SILENT and not choice.is_slow(state, rules, now):
        late = (a.ref for a in play.attempts if choice.is_late(a.at, rules, now))
        _blame(state, rules, play, frozenset(late), now)
    state.tell(
        "play_failed",
        why=action.why.value,
        words=action.words,
        player=play.wanted.player,
        key=play.wanted.content.key,
        waited=round(now.mono - play.received.mono, 3),
        tries=len(play.tried),
    )


def supersede(state: State, action: Supersede, now: Now) -> None:
    stream = state.streams[action.stream]
    play = state.plays.get(action.request or "")
    if stream.ended is not None:
        return
    streams.end_stream(state, stream, readers.SUPERSEDED, now)
    if play is not None and stream.slot is not None:
        freed = Attempt((stream.slot, stream.incarnation), now.mono)
        state.plays[play.id] = replace(play, waits_for=freed)


def forget_old(state: State, rules: Rules, now: Now) -> None:
    for content, (at, _) in list(state.refusals.items()):
        if now.mono - at < rules.blame_lasts:
            break  # the order of insertion is the order of time
        del state.refusals[content]

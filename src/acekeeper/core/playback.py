"""Whether an engine plays. Its status may be fine while nothing new plays on it: how a client's
streams end makes one doubt it, and a try of our own tells."""

import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from msgspec.structs import replace

from acekeeper.core import health, network, suspects
from acekeeper.core.actions import GiveWay, Try
from acekeeper.core.doubt import Content, Heard, Played, Smell
from acekeeper.core.facts import PlaybackAnswered, PlaybackFailed, Verdict
from acekeeper.core.gateway import contents
from acekeeper.core.gateway.model import Ref
from acekeeper.core.model import Engine, Health, KeyType, Now, Phase, Sample, Stream
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

_AT_ONCE = "completed"
BAD_ENDS = ("timeout", "empty_timeout", _AT_ONCE)  # the last one if it is
_SOON = 1.0  # a stream that is complete within it was an error page
_PLAYS_AFTER = 30.0  # the client gives up a silent stream after 20 s
_RECENT = 50  # ended streams among which one is looked for
_PLAYED_OF_LATE = 3  # contents of an engine that are remembered
_SMELLS_MOST = 1024
_ID = re.compile(r"[0-9a-fA-F]{40}")


def smells(stream: Stream) -> bool:
    """Whether its end says that nothing was seen, as on an engine that hangs."""
    if stream.ended is None or stream.reason not in BAD_ENDS:
        return False
    # None at all is that of an end that overtook its start: nobody knows how long it was.
    return stream.reason != _AT_ONCE or 0 < stream.ended.mono - stream.started.mono < _SOON


def ended_badly(
    state: State, rules: Rules, engine: Engine, stream: Stream, heard: Heard, now: Now
) -> None:
    """The engine is asked at once, and doubted unless the content is to blame: it smells elsewhere
    too, nobody in the network had anything of it, or others play on this engine."""
    engine = engine.to_be_asked()
    state.put(engine)
    content = content_of(stream)
    if content is None or network.is_to_blame(state, engine):
        return
    before = _smell(state, rules, content, now)
    engines = (before.engines if before else frozenset()) | {engine.ref}
    was_blamed = before is not None and before.blamed
    why = _why_the_content(state, rules, engine, stream, content, engines, heard, now)
    _remember(state, content, Smell(engines, now.mono, was_blamed or bool(why)))
    if not (was_blamed or why):
        suspects.suspect(state, rules, engine, content, stream.reason, now)
    elif not was_blamed:
        _blame(state, rules, content, engines, why, stream.id, now)


def _why_the_content(
    state: State,
    rules: Rules,
    engine: Engine,
    stream: Stream,
    content: Content,
    engines: frozenset[Ref],
    heard: Heard,
    now: Now,
) -> str:
    if heard.fed is False:
        return "no_peers"
    if len(engines) > 1:
        return "two_engines"
    # On an engine that hangs an older stream may go on. So only one counts that began after the
    # engine last failed with another content.
    failed = [
        smell.last
        for other, smell in state.smells.items()
        if other != content
        and engine.ref in smell.engines
        and now.mono - smell.last < rules.blame_lasts
    ]
    since = max(failed, default=-math.inf)
    plays = any(
        other.content != content
        and other.began > since
        and other.last >= stream.started.mono - _PLAYS_AFTER
        for other in suspects.played(state, engine)
    )
    return "others_play" if plays else ""


def failing(state: State, rules: Rules, now: Now) -> int:
    """The number of contents that ended badly of late, and have not played since."""
    return sum(_smell(state, rules, content, now) is not None for content in state.smells)


def claim_lapsed(state: State, rules: Rules, engine: Engine, now: Now) -> None:
    """It was given to a client whose stream never began: a failure at the start sends no event.
    Nobody knows what was wanted, so it is tried with what plays elsewhere or did."""
    if engine.slot in state.playing:
        return
    engine = engine.to_be_asked()
    state.put(engine)
    suspects.suspect(state, rules, engine, content_that_plays(state), suspects.CLAIM_LAPSED, now)


def content_that_plays(state: State) -> Content | None:
    """Now, or else the last that did."""
    ended = (i for i in islice(reversed(state.ended), _RECENT) if i in state.samples)
    moved = (i for i in ended if state.samples[i].speed_down > 0)
    for stream in (state.streams[i] for i in chain(state.moving, moved)):
        if not smells(stream) and (content := content_of(stream)) is not None:
            return content
    return None


def moved(state: State, rules: Rules, stream: Stream, sample: Sample, now: Now) -> None:
    """A content that plays is well; so is an engine on which a new stream lasts, and then it is
    the content for which it was doubted that is not."""
    content = content_of(stream)
    if content is None or sample.speed_down <= 0:
        return
    state.smells.pop(content, None)
    engine = state.current(stream.slot, stream.incarnation) if stream.slot else None
    if engine is None or now.mono - stream.started.mono < _PLAYS_AFTER:
        return
    _lasted(state, engine, Played(engine.incarnation, content, stream.started.mono, now.mono))
    against = engine.against
    if against is None or stream.started.mono < against.since:
        return
    if engine.doubt is None:
        suspects.forget(state, engine)
    elif engine.doubt.trying:
        return  # the end of that try comes first, or it would be taken for that of a later one
    else:
        trust(state, rules, engine, now)
        suspects.choose(state, rules, now)
    smell = _smell(state, rules, against.content, now)
    if smell is not None and not smell.blamed:
        _remember(state, against.content, replace(smell, blamed=True))
        _blame(state, rules, against.content, smell.engines, "others_play", stream.id, now)


def _lasted(state: State, engine: Engine, played: Played) -> None:
    others = [p for p in suspects.played(state, engine) if p.content != played.content]
    state.played[engine.slot] = (*others[1 - _PLAYED_OF_LATE :], played)


def tries(
    state: State, rules: Rules, uneasy: Iterable[Engine], now: Now
) -> Iterator[Try | GiveWay | float]:
    """Only where no stream is and nobody is expected: not before those clients are gone who had
    read that the engine is free, nor in the wake of a stream that is just being stopped."""
    for engine in uneasy:
        doubt = engine.doubt
        if doubt is None or engine.phase is not Phase.RUNNING:
            continue
        plays = engine.slot in state.playing
        if doubt.trying:
            if plays and not doubt.giving_way:
                yield GiveWay(*engine.ref)
            continue
        if (
            plays
            or engine.claim
            or engine.drain
            or engine.probe.failures
            or state.is_cut_off(engine)
        ):
            continue
        if contents.may_play(state, engine.ref, doubt.content):
            continue  # a second session would cut the first
        due = max(doubt.since, engine.used.mono if engine.used else 0.0) + rules.choice_lasts
        if doubt.tried is not None:
            due = max(due, doubt.tried + rules.try_again_every)
        yield Try(*engine.ref, doubt.content) if now.mono >= due else due


def begin(state: State, action: Try) -> None:
    engine = state.current(action.slot, action.incarnation)
    if engine is not None and engine.doubt is not None:
        state.put(replace(engine, against=replace(engine.doubt, trying=True)))


def give_way(state: State, action: GiveWay) -> None:
    engine = state.current(action.slot, action.incarnation)
    if engine is not None and engine.doubt is not None:
        state.put(replace(engine, against=replace(engine.doubt, giving_way=True)))


def answered(state: State, rules: Rules, fact: PlaybackAnswered, now: Now) -> None:
    """It plays, or it says that the content is to blame."""
    engine = state.current(fact.slot, fact.incarnation)
    if engine is None or engine.doubt is None or not engine.doubt.trying:
        return
    content = engine.doubt.content
    state.tell(
        "playback_tried",
        engine.slot,
        verdict=fact.verdict.value,
        detail=fact.detail,
        key=content.key,
    )
    if fact.verdict is Verdict.PLAYS:
        state.smells.pop(content, None)
    else:
        _remember(state, content, Smell(frozenset({engine.ref}), now.mono, blamed=True))
    trust(state, rules, engine, now)
    suspects.choose(state, rules, now)


def failed(state: State, rules: Rules, fact: PlaybackFailed, now: Now) -> None:
    engine = state.current(fact.slot, fact.incarnation)
    if engine is None or engine.doubt is None or not engine.doubt.trying:
        return
    doubt = replace(engine.doubt, trying=False, giving_way=False, tried=now.mono)
    engine = replace(engine, against=doubt)
    smell = _smell(state, rules, doubt.content, now)
    if smell is not None and smell.blamed:
        trust(state, rules, engine, now)
        suspects.choose(state, rules, now)
    elif fact.excused or engine.phase is not Phase.RUNNING or network.is_to_blame(state, engine):
        state.put(engine)
    else:
        failures = doubt.failures + 1
        state.tell(
            "playback_failed", engine.slot, why=fact.why, failures=failures, key=doubt.content.key
        )
        engine = replace(engine, against=replace(doubt, failures=failures), checked=now)
        state.put(health.worsened(state, rules, engine, failures, fact.why, now))
        suspects.choose(state, rules, now)  # one that is known to be ill makes room


def recall(state: State, rules: Rules, now: Now) -> None:
    """After a restart: an engine that was not well then, and whose last stream ended badly."""
    last = {(s.slot, s.incarnation): s for s in (state.streams[i] for i in state.ended)}
    for engine in list(state.engines.values()):
        stream = last.get(engine.ref)
        if engine.health is not Health.HEALTHY and stream is not None and smells(stream):
            suspects.suspect(state, rules, engine, content_of(stream), stream.reason, now)


def content_of(stream: Stream) -> Content | None:
    return content_by_id(Content(stream.key_type.value, stream.key))


def content_by_id(content: Content) -> Content | None:
    """An id and nothing else: for a url or a magnet the engine would fetch what others name."""
    by_id = content.key_type in (KeyType.CONTENT_ID, KeyType.INFOHASH)
    return content if by_id and _ID.fullmatch(content.key) else None


def is_blamed(state: State, rules: Rules, content: Content, now: Now) -> bool:
    smell = _smell(state, rules, content, now)
    return smell is not None and smell.blamed


def blame(state: State, rules: Rules, content: Content, engines: frozenset[Ref], now: Now) -> None:
    """These engines said nothing when they were asked for it."""
    asked = (state.current(*ref) for ref in engines)
    if any(engine and network.is_to_blame(state, engine) for engine in asked):
        return
    if not is_blamed(state, rules, content, now):
        _remember(state, content, Smell(engines, now.mono, blamed=True))
        _blame(state, rules, content, engines, "two_engines", "", now)


def _smell(state: State, rules: Rules, content: Content, now: Now) -> Smell | None:
    smell = state.smells.get(content)
    return smell if smell and now.mono - smell.last < rules.blame_lasts else None


def _remember(state: State, content: Content, smell: Smell) -> None:
    state.smells.pop(content, None)  # so that the newest is the last
    state.smells[content] = smell
    if len(state.smells) > _SMELLS_MOST:
        del state.smells[next(iter(state.smells))]


def _blame(
    state: State,
    rules: Rules,
    content: Content,
    engines: frozenset[Ref],
    why: str,
    stream: str,
    now: Now,
) -> None:
    """A try under way is left to its end."""
    state.tell("content_blamed", stream=stream, key=content.key, engines=len(engines), why=why)
    for engine in [state.engines[slot] for slot in state.index.accused]:
        if engine.against is None or engine.against.content != content:
            continue
        if engine.doubt is None:
            suspects.forget(state, engine)
        elif not engine.doubt.trying:
            trust(state, rules, engine, now)
    suspects.choose(state, rules, now)


def trust(state: State, rules: Rules, engine: Engine, now: Now) -> None:
    if engine.doubt is not None and engine.doubt.why == suspects.CONNECTION:
        engine = replace(engine, cleared=now.mono)
    state.put(health.improved(state, rules, replace(engine, against=None), now))

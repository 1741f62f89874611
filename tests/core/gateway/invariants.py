"""What holds whatever players and engines do."""

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.actions import Open
from acekeeper.core.gateway.contents import canonical
from acekeeper.core.gateway.model import Play
from acekeeper.core.model import Engine, KeyType, Stream
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import rested_at


def infohash(content: Content) -> str:
    """As the engines know it: each even one has a content id as well, the odd one after it."""
    number = int(content.key, 16)
    has_id = content.key_type == KeyType.CONTENT_ID and number % 2
    return f"{number - 1:040x}" if has_id else content.key


def check(state: State, rules: Rules, now: float) -> None:
    """After the plan has nothing more to do."""
    for engine in state.engines.values():
        taken = len(state.playing.get(engine.slot, ())) + len(state.holds.get(engine.ref, ()))
        promised = engine.claim is not None
        assert taken + promised <= rules.max_streams_per_engine
    for play in state.plays.values():
        assert play.until > now, "it waits, and nothing ends that"
        own = state.streams.get(play.stream)
        assert own is None or own.ended is not None, "it has a session, and is not told"
        assert play.there is None, "it has a session elsewhere, and is not told"
        for attempt in play.attempts:
            held = state.holds.get(attempt.ref, ())
            assert state.current(*attempt.ref) is None or play.id in {h.opening for h in held}
    for play in _idle(state):
        for engine in state.engines.values():
            assert not (
                state.is_free(engine, rules)
                and rested_at(engine, rules) <= now
                and engine.is_at(play.wanted.arrival)
                and engine.ref not in play.tried
                and not plays(state, engine, play.wanted.content)
            ), f"{play.id} waits beside a free engine"


def may_open(state: State, rules: Rules, action: Open) -> None:
    play, engine = state.plays[action.request], state.current(action.slot, action.incarnation)
    assert engine is not None
    assert state.is_free(engine, rules)
    assert not plays(state, engine, play.wanted.content), "the second session cuts the first"


def may_serve(state: State, play: Play, stream: Stream) -> None:
    assert stream.ended is None
    assert stream.gateway is not None
    assert stream.slot is not None
    assert state.current(stream.slot, stream.incarnation) is not None
    assert stream.gateway.is_hls == play.wanted.is_hls
    assert infohash(Content(stream.key_type.value, stream.key)) == infohash(play.wanted.content)


def plays(state: State, engine: Engine, wanted: Content) -> bool:
    """Whether a content plays on an engine, or may."""
    here = [Content(s.key_type.value, s.key) for s in state.started_on(engine.slot)]
    here += [hold.content for hold in state.holds.get(engine.ref, ())]
    return canonical(state, wanted) in {canonical(state, other) for other in here}


def _idle(state: State) -> list[Play]:
    """Those for which no engine is asked, and that wait for nobody else's session."""
    plays = list(state.plays.values())
    return [
        play
        for n, play in enumerate(plays)
        if not any(state.current(*attempt.ref) for attempt in play.attempts)
        and not any(infohash(p.wanted.content) == infohash(play.wanted.content) for p in plays[:n])
    ]

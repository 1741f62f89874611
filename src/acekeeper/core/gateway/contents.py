"""Which contents are one (a content id and its infohash are, once an engine has told so), where
they play, and which of them engines refuse."""

from collections.abc import Iterable

from msgspec.structs import replace

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Hold, Play, Ref
from acekeeper.core.model import KeyType, Now, Stream
from acekeeper.core.state import State

Shared = tuple[bool, str, str, Content]
_KNOWN_MOST = 4096
_REFUSALS_MOST = 1024


def told(state: State, content: Content, infohash: str) -> None:
    state.infohashes.pop(content, None)  # so that the newest is the last
    state.infohashes[content] = infohash
    if len(state.infohashes) > _KNOWN_MOST:
        del state.infohashes[next(iter(state.infohashes))]


def canonical(state: State, content: Content) -> Content:
    infohash = state.infohashes.get(content)
    return content if infohash is None else Content(KeyType.INFOHASH.value, infohash)


def of_stream(stream: Stream) -> Content:
    return Content(stream.key_type.value, stream.key)


def may_play(state: State, ref: Ref, content: Content) -> bool:
    """Whether a content plays on an engine, or may: a second session there would cut the first."""
    held = (hold.content for hold in state.holds.get(ref, ()))
    return plays(state, ref, content) or _is_among(state, content, held)


def plays(state: State, ref: Ref, content: Content) -> bool:
    return _is_among(state, content, map(of_stream, state.started_on(ref[0])))


def is_cut(state: State, stream: Stream) -> bool:
    """Whether the content of a started stream was opened again on its engine since."""
    here = iter(state.started_on(stream.slot) if stream.slot else ())
    for older in here:
        if older.id == stream.id:
            break
    return _is_among(state, of_stream(stream), map(of_stream, here))


def others(state: State, held: tuple[Hold, ...], content: Content) -> tuple[Hold, ...]:
    """What is held of other contents, or still being opened."""
    return tuple(h for h in held if h.opening or not _is_among(state, content, (h.content,)))


def shared(state: State, play: Play) -> Shared | None:
    """Players of whom this is the same get one session; None: it gets one for itself alone."""
    wanted = play.wanted
    if not wanted.is_hls and (not wanted.as_json or play.instead_of):
        return None
    whose = "" if wanted.is_hls else wanted.player
    return wanted.is_hls, whose, wanted.arrival, canonical(state, wanted.content)


def refused(state: State, play: Play, words: str, now: Now) -> None:
    """One more refuses it. What two refuse is remembered."""
    refusals = (*play.refused, words)
    state.plays[play.id] = replace(play, refused=refusals)
    if len(refusals) > 1:
        content = canonical(state, play.wanted.content)
        state.refusals.pop(content, None)  # so that the newest is the last
        state.refusals[content] = now.mono, words
        if len(state.refusals) > _REFUSALS_MOST:
            del state.refusals[next(iter(state.refusals))]


def _is_among(state: State, content: Content, contents: Iterable[Content]) -> bool:
    return canonical(state, content) in {canonical(state, other) for other in contents}

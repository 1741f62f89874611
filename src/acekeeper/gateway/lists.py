"""Media playlists of HLS (RFC 8216): an engine's, and what a player gets of it. A player's URL may
lead to one session after another: the numbers under it only grow, each session begins with a
discontinuity, and only segments of the newest are listed, since the others cannot be had."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from acekeeper.errors import NoAnswer

_TARGET_MOST = 60  # seconds; a player asks for the list as seldom as that
_BEGINS_WITH = 3  # the newest segments of a session: players want so many before they begin
_SEGMENT = re.compile(r"/ace/c/\w+/\w[\w.-]*", re.ASCII)
_QUERY = re.compile(r"[\w.~%&=+-]*", re.ASCII)
_URI = re.compile(r'\bURI=(?:"([^"]*)"|([^,]*))')  # some players take one without quotes too
_WHOLE = re.compile(r"[0-9]{1,15}")

_NUMBER = "#EXT-X-MEDIA-SEQUENCE"
_DISCONTINUITY_NUMBER = "#EXT-X-DISCONTINUITY-SEQUENCE"
_TARGET = "#EXT-X-TARGETDURATION"
_OURS = (_NUMBER, _DISCONTINUITY_NUMBER, _TARGET)
_DURATION = "#EXTINF"
_DISCONTINUITY = "#EXT-X-DISCONTINUITY"
_UNTIL_THE_NEXT = ("#EXT-X-KEY", "#EXT-X-MAP")  # hold for the segments that follow as well
_OF_A_SEGMENT = (
    _DURATION,
    _DISCONTINUITY,
    *_UNTIL_THE_NEXT,
    "#EXT-X-BYTERANGE",
    "#EXT-X-PROGRAM-DATE-TIME",
    "#EXT-X-DATERANGE",
    "#EXT-X-GAP",
    "#EXT-X-BITRATE",
)


class Segment(Struct, frozen=True):
    path: str  # on the engine, with its query
    tags: tuple[str, ...]  # as the engine wrote them, but for the discontinuity
    is_discontinuous: bool


class Playlist(Struct, frozen=True, kw_only=True):
    """`number` and `discontinuity` as the tags of the list say them: of its first segment, before
    a discontinuity of its own."""

    tags: tuple[str, ...]  # of the list, but for those that we write
    target: int  # seconds
    number: int
    discontinuity: int
    segments: tuple[Segment, ...]
    ending: tuple[str, ...]  # what follows the last segment

    @property
    def last(self) -> "Point":
        discontinuities = sum(segment.is_discontinuous for segment in self.segments)
        return Point(self.number + len(self.segments) - 1, self.discontinuity + discontinuities)


class Point(NamedTuple):
    """The numbers of a segment."""

    number: int
    discontinuity: int


class Joint(Struct, frozen=True):
    """How a session follows on another: its `first` segment, by the engine's number, and what is
    added to both numbers."""

    first: int
    number: int
    discontinuity: int


class Progress(Struct, frozen=True):
    """What was listed at a URL: the session, and the last segment by our numbers."""

    session: str
    joint: Joint | None
    last: Point


def read(body: bytes) -> Playlist:
    """Raises NoAnswer for what no engine answers: a list of something else, or one that names
    anything but the engine's own segments."""
    text = body.decode(errors="replace")
    # At whatever ends a line for any player.
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise _no_list("it does not begin as one")
    ours: dict[str, int] = {}
    tags: list[str] = []
    segments: list[Segment] = []
    pending: list[str] = []  # the tags of the next segment
    durations = [0.0]
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name in _OURS:
            ours[name] = _whole(value)
        elif not line.startswith("#"):
            if not any(tag.startswith(_DURATION) for tag in pending):
                raise _no_list("a line is no segment")
            others = tuple(_with_own_uri(tag) for tag in pending if tag != _DISCONTINUITY)
            segments.append(Segment(_own(line), others, _DISCONTINUITY in pending))
            pending = []
        elif segments or pending or name in _OF_A_SEGMENT:
            pending.append(line)
            if name == _DURATION:
                durations.append(_seconds(value))
        else:
            tags.append(_with_own_uri(line))
    return Playlist(
        tags=tuple(tags),
        target=_target(ours.get(_TARGET, 0), math.floor(max(durations) + 0.5)),
        number=ours.get(_NUMBER, 0),
        discontinuity=ours.get(_DISCONTINUITY_NUMBER, 0),
        segments=tuple(segments),
        ending=tuple(_with_own_uri(tag) for tag in pending),
    )


def begin(session: str, playlist: Playlist) -> Progress:
    """At the URL under which the session was opened: the numbers are the engine's own."""
    return Progress(session, None, playlist.last)


def follow(last: Point, session: str, playlist: Playlist) -> Progress:
    """At a URL that had a list of another session before, up to `last`. The session may be an old
    one: its first segments are those of a time that the player has seen."""
    skipped = max(0, len(playlist.segments) - _BEGINS_WITH)
    rest = _without(playlist, skipped)
    discontinuity = rest.discontinuity + rest.segments[0].is_discontinuous
    joint = Joint(
        first=rest.number,
        number=last.number + 1 - rest.number,
        discontinuity=last.discontinuity + 1 - discontinuity,
    )
    return go_on(Progress(session, joint, last), playlist)


def go_on(before: Progress, playlist: Playlist) -> Progress:
    """With the same session. Lists may overtake each other."""
    last = _numbered(playlist, before.joint).last
    return replace(before, last=max(before.last, last))


def written(playlist: Playlist, joint: Joint | None, origin: str) -> str:
    """`origin`: where the player reaches the engine, as "http://192.0.2.1:19000"."""
    ours = _numbered(playlist, joint)
    lines = ["#EXTM3U", *ours.tags, f"{_TARGET}:{ours.target}", f"{_NUMBER}:{ours.number}"]
    if ours.discontinuity:
        lines.append(f"{_DISCONTINUITY_NUMBER}:{ours.discontinuity}")
    for segment in ours.segments:
        if segment.is_discontinuous:
            lines.append(_DISCONTINUITY)
        lines += [*_absolute(segment.tags, origin), origin + segment.path]
    return "\n".join([*lines, *_absolute(ours.ending, origin), ""])


def _numbered(playlist: Playlist, joint: Joint | None) -> Playlist:
    """By our numbers, from the joint on."""
    if joint is None:
        return playlist
    rest = _without(playlist, max(0, joint.first - playlist.number))
    segments, discontinuity = rest.segments, rest.discontinuity + joint.discontinuity
    if segments and rest.number == joint.first:
        discontinuity += segments[0].is_discontinuous - 1
        segments = (replace(segments[0], is_discontinuous=True), *segments[1:])
    return replace(
        rest, number=rest.number + joint.number, discontinuity=discontinuity, segments=segments
    )


def _without(playlist: Playlist, count: int) -> Playlist:
    """Without its first segments."""
    gone, rest = playlist.segments[:count], playlist.segments[count:]
    kept = tuple(tag for s in gone for tag in s.tags if tag.startswith(_UNTIL_THE_NEXT))
    if rest and kept:
        rest = (replace(rest[0], tags=(*kept, *rest[0].tags)), *rest[1:])
    return replace(
        playlist,
        number=playlist.number + len(gone),
        discontinuity=playlist.discontinuity + sum(s.is_discontinuous for s in gone),
        segments=rest,
    )


def _target(said: int, longest: int) -> int:
    """What the engine says, if it is no shorter than a segment and no player sleeps over it."""
    return said if longest <= said <= _TARGET_MOST and said else max(1, longest)


def _own(uri: str) -> str:
    """Of a URL that an engine wrote, the path and the query: host and port are not its to say."""
    try:
        url = urlsplit(uri)
    except ValueError:
        raise _no_list("a segment has no URL") from None
    if not _SEGMENT.fullmatch(url.path) or not _QUERY.fullmatch(url.query):
        raise _no_list("a segment is not the engine's own")
    return f"{url.path}?{url.query}" if url.query else url.path


def _with_own_uri(tag: str) -> str:
    return _URI.sub(lambda found: f'URI="{_own(found[1] or found[2] or "")}"', tag)


def _absolute(tags: Sequence[str], origin: str) -> list[str]:
    return [_URI.sub(lambda found: f'URI="{origin}{found[1]}"', tag) for tag in tags]


def _whole(value: str) -> int:
    if not _WHOLE.fullmatch(value):
        raise _no_list("a number is none")
    return int(value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value.partition(",")[0])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 3600:
        raise _no_list("a segment has no length")
    return seconds


def _no_list(why: str) -> NoAnswer:
    return NoAnswer(f"answered no list of segments: {why}")

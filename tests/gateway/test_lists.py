"""What a player gets of an engine's list, and how it goes on with another engine's."""

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acekeeper.errors import NoAnswer
from acekeeper.gateway import lists
from acekeeper.gateway.lists import Playlist, Point, Progress, begin, follow, go_on, written

CONTENT = "0123456789abcdef0123456789abcdef01234567"
ORIGIN = "http://192.0.2.1:19000"
HEAD = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n"


def read(text: str) -> Playlist:
    return lists.read(text.encode())


def segment(number: object, tags: str = "", host: str = "http://engine:6878") -> str:
    return f"{tags}#EXTINF:5.000000,\n{host}/ace/c/{CONTENT}/{number}.ts\n"


def listed(first: int, count: int = 3, head: str = "") -> str:
    numbers = range(first, first + count)
    return f"{HEAD}#EXT-X-MEDIA-SEQUENCE:{first}\n{head}" + "".join(map(segment, numbers))


def ours(text: str, progress: Progress | None = None) -> str:
    playlist = read(text)
    return written(playlist, (progress or begin("a", playlist)).joint, ORIGIN)


def test_the_list_of_the_first_session_stays_as_it_is_but_for_host_and_port() -> None:
    text = listed(7, head="#EXT-X-SOMETHING:new\n")
    text += segment(10, "#EXT-X-PROGRAM-DATE-TIME:2026-11-30T04:00:00Z\n#EXT-ODD\n# said\n")
    text += "#EXT-X-ENDLIST\n"
    said = ours(text)
    assert sorted(said.splitlines()) == sorted(
        text.replace("http://engine:6878", ORIGIN).splitlines()
    )
    assert read(said) == read(text)


@pytest.mark.parametrize("host", ["http://engine:6878", "", "http://192.0.2.9", "//elsewhere:1"])
def test_a_segment_is_had_where_the_player_arrived(host: str) -> None:
    text = listed(0, 0) + segment("0", host=host)
    text += f"#EXTINF:5,\n{host}/ace/c/{CONTENT}/1.ts?a=b%20c\n"
    assert [line for line in ours(text).splitlines() if not line.startswith("#")] == [
        f"{ORIGIN}/ace/c/{CONTENT}/0.ts",
        f"{ORIGIN}/ace/c/{CONTENT}/1.ts?a=b%20c",
    ]


@pytest.mark.parametrize("quote", ['"', ""])
def test_a_key_is_had_there_too(quote: str) -> None:
    url = f"{quote}http://engine/ace/c/{CONTENT}/k.bin{quote}"
    key = f"#EXT-X-KEY:METHOD=AES-128,URI={url},IV=0x1\n"
    assert f'URI="{ORIGIN}/ace/c/{CONTENT}/k.bin",IV=0x1' in ours(listed(0) + segment(3, key))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "#EXTM3U8\n",
        listed(0).replace("#EXTM3U\n", ""),
        listed(0) + "#EXTINF:5,\nhttp://engine:6878/ace/cmd/a/b?method=stop\n",
        listed(0) + "#EXTINF:5,\nhttp://engine:6878/ace/c/../cmd/b\n",
        listed(0) + f"#EXTINF:5,\nhttp://engine:6878/ace/c/{CONTENT}/..\n",
        listed(0) + f"#EXTINF:5,\nhttp://engine:6878/ace/c/{CONTENT}/0.ts?a b\n",
        listed(0) + f"#EXTINF:5,\nhttp://[engine/ace/c/{CONTENT}/0.ts\n",
        listed(0) + f"#EXTINF:5,\nace/c/{CONTENT}/0.ts\n",
        listed(0) + f"http://engine:6878/ace/c/{CONTENT}/0.ts\n",
        listed(0, head="#EXT-X-VERSION:3\rhttp://example.org/0.ts\n"),
        listed(0, head="#EXT-X-VERSION:3\u2028http://example.org/0.ts\n"),
        listed(0) + '#EXT-X-KEY:METHOD=AES-128,URI="https://example.org/key"\n' + segment(3),
        listed(0) + "#EXT-X-KEY:METHOD=AES-128,URI=https://example.org/key\n" + segment(3),
        listed(0) + '#EXT-X-KEY:URI="https://example.org/key,METHOD=AES-128\n' + segment(3),
        listed(0) + f"#EXTINF:nan,\n/ace/c/{CONTENT}/0.ts\n",
        listed(0) + f"#EXTINF:1e9,\n/ace/c/{CONTENT}/0.ts\n",
        listed(0) + f"#EXTINF:long,\n/ace/c/{CONTENT}/0.ts\n",
        listed(0, head="#EXT-X-DISCONTINUITY-SEQUENCE:-1\n"),
        listed(0, head=f"#EXT-X-MEDIA-SEQUENCE:{10**15}\n"),
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://engine:6878/ace/m/a/b.m3u8\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NoAnswer, match="answered no list of segments"):
        read(text)


@pytest.mark.parametrize(
    ("said", "duration", "target"),
    [("5", 5, 5), ("7", 5, 7), ("4", 5.4, 5), ("4", 5.5, 6), ("0", 0, 1), ("99999", 5, 5)],
)
def test_the_target_duration_is_no_shorter_than_a_segment_and_no_age(
    said: str, duration: float, target: int
) -> None:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:{said}\n#EXTINF:{duration},\n/ace/c/{CONTENT}/0.ts\n"
    assert f"#EXT-X-TARGETDURATION:{target}\n" in ours(text)


def moved(before: str, after: str) -> tuple[Progress, str]:
    progress = follow(begin("a", read(before)).last, "b", read(after))
    return progress, ours(after, progress)


def test_another_session_goes_on_with_the_numbers_after_a_discontinuity() -> None:
    _, text = moved(listed(5, 4), listed(0))
    assert text == (
        f"{HEAD}#EXT-X-MEDIA-SEQUENCE:9\n#EXT-X-DISCONTINUITY\n"
        + "".join(segment(number, host=ORIGIN) for number in range(3))
    )


def test_the_discontinuity_is_counted_when_it_has_left_the_list() -> None:
    progress, text = moved(listed(5, 4), listed(0))
    assert "DISCONTINUITY-SEQUENCE" not in text
    later = ours(listed(1), progress)
    assert "#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in later
    assert "#EXT-X-DISCONTINUITY\n" not in later


def test_the_engines_own_discontinuities_are_counted_too() -> None:
    own = "#EXT-X-DISCONTINUITY\n"
    before = listed(5, 2, head="#EXT-X-DISCONTINUITY-SEQUENCE:4\n") + segment(7, own)
    after = listed(0, 0) + segment(0, own) + segment(1) + segment(2, own)
    progress, text = moved(before, after)
    assert text.count(own) == 2
    assert "#EXT-X-MEDIA-SEQUENCE:8\n#EXT-X-DISCONTINUITY-SEQUENCE:5\n" in text
    assert progress.last == Point(10, 7)


def test_of_an_old_session_a_player_gets_the_newest_segments() -> None:
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="/ace/c/{CONTENT}/k.bin"\n'
    after = listed(40, 0, head=key) + "".join(map(segment, range(40, 57)))
    progress, text = moved(listed(0), after)
    assert "#EXT-X-MEDIA-SEQUENCE:3\n" in text
    assert f"{CONTENT}/54.ts" in text
    assert f"{CONTENT}/53.ts" not in text
    assert text.count("/k.bin") == 1, "the key of those left out holds for the rest"
    assert progress.last == Point(5, 1)


class Seen(NamedTuple):
    """What a player knows of a list."""

    number: int
    discontinuity: int
    engine: int
    segment: int


def seen(text: str) -> list[Seen]:
    playlist = read(text)
    found, discontinuity = [], playlist.discontinuity
    for number, one in enumerate(playlist.segments, playlist.number):
        discontinuity += one.is_discontinuous
        engine, name = one.path.rpartition("/")[2].removesuffix(".ts").split("-")
        found.append(Seen(number, discontinuity, int(engine), int(name)))
    return found


@dataclass
class Broadcast:
    """An engine's session: a window that goes on over its segments."""

    engine: int
    first: int
    count: int
    discontinuous: frozenset[int]
    left: int = 0  # discontinuities that have left the list
    texts: list[str] = field(default_factory=list)

    def text(self) -> str:
        numbers = range(self.first, self.first + self.count)
        lines = "".join(
            segment(f"{self.engine}-{n}", "#EXT-X-DISCONTINUITY\n" * (n in self.discontinuous))
            for n in numbers
        )
        head = f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.left}\n" if self.left else ""
        return f"{HEAD}#EXT-X-MEDIA-SEQUENCE:{self.first}\n{head}{lines}"

    def pass_by(self, segments: int) -> None:
        gone = range(self.first, self.first + segments)
        self.left += len(self.discontinuous.intersection(gone))
        self.first += segments


sessions = st.builds(
    Broadcast,
    engine=st.just(0),
    first=st.integers(0, 100),
    count=st.integers(1, 17),
    discontinuous=st.frozensets(st.integers(0, 120), max_size=5),
    left=st.integers(0, 3),
)
looks = st.lists(st.integers(0, 20), min_size=1, max_size=6)


@given(st.lists(st.tuples(sessions, looks), min_size=1, max_size=5))
def test_whatever_happens_a_player_can_go_on(days: list[tuple[Broadcast, list[int]]]) -> None:
    numbered: dict[int, Seen] = {}
    starts: list[tuple[int, int]] = []
    progress: Progress | None = None
    for engine, (broadcast, passing) in enumerate(days):
        session = replace(broadcast, engine=engine)
        for segments in passing:
            playlist = read(session.text())
            if progress is None:
                progress = begin(str(engine), playlist)
            elif progress.session != str(engine):
                progress = follow(progress.last, str(engine), playlist)
            else:
                progress = go_on(progress, playlist)
            text = written(playlist, progress.joint, ORIGIN)
            found = seen(text)
            starts.append((read(text).number, read(text).discontinuity))
            assert found, "nothing to play"
            assert {one.engine for one in found} == {engine}, "of an engine that is left"
            for one in found:
                assert numbered.setdefault(one.number, one) == one, "a number means one segment"
            assert progress.last == max(numbered.values())[:2]
            session.pass_by(segments)
    assert starts == sorted(starts), "numbers go back"
    segments_seen = [(one.engine, one.segment) for one in numbered.values()]
    assert len(segments_seen) == len(set(segments_seen)), "a segment has two numbers"
    in_order = [numbered[number] for number in sorted(numbered)]
    for one, other in pairwise(in_order):
        if other.engine != one.engine:
            assert other.number == one.number + 1
            assert other.discontinuity == one.discontinuity + 1, "once per move"
        else:
            own = days[one.engine][0].discontinuous
            between = range(one.segment + 1, other.segment + 1)
            assert other.discontinuity - one.discontinuity == len(own.intersection(between))


@given(sessions, sessions, st.permutations(range(4)))
def test_lists_may_overtake_each_other(a: Broadcast, b: Broadcast, order: list[int]) -> None:
    """Players ask at the same time: what was written first need not come first."""
    texts = []
    b = replace(b, count=max(b.count, 4))
    for _ in range(4):
        texts.append(b.text())
        b.pass_by(1)
    progress = follow(begin("a", read(a.text())).last, "b", read(texts[order[0]]))
    numbered: dict[int, Seen] = {}
    for turn in order:
        playlist = read(texts[turn])
        progress = go_on(progress, playlist)
        for one in seen(written(playlist, progress.joint, ORIGIN)):
            assert one.number > read(a.text()).last.number
            assert numbered.setdefault(one.number, one) == one
    assert progress.last == max(numbered.values())[:2]


@given(st.text(st.sampled_from('#EXTINF:-MDSUQCYV5,"=/.ace0\n \r'), max_size=200))
def test_no_text_does_harm(noise: str) -> None:
    try:
        playlist = read("#EXTM3U\n" + noise)
    except NoAnswer:
        return
    assert read(written(playlist, None, ORIGIN)).segments == playlist.segments
    assert math.isfinite(playlist.target)

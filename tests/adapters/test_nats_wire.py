"""The messages of a fleet: what is written is read as it was, and what cannot be read is told."""

import json
import re
from typing import Any

import msgspec
import pytest

from acekeeper.adapters import nats_wire as wire
from acekeeper.adapters.nats_wire import BadMessage, Subjects, Topic
from acekeeper.core.doubt import Content
from acekeeper.core.fleet.facts import BeatHeard, ChangeHeard, SnapshotHeard
from acekeeper.core.fleet.model import Digest, Doing, Position, SharedEngine
from acekeeper.core.gateway.model import Declined, Elsewhere, NotPlayed, PlayAsk, Wanted
from acekeeper.core.model import Opening

AT = Position("1f0a", 7)
DIGEST = Digest(
    version="1.0", engines=3, free=1, room=2, streams=1, maintenance=True, panel="http://192.0.2.7/"
)
ENGINES = (
    SharedEngine("engine-19000", 19000, Doing.FREE, 0),
    SharedEngine("engine-19001", 19001, Doing.TAKEN, 2),
)
ASK = PlayAsk(
    request="r-1",
    wanted=Wanted(
        content=Content("content_id", "ab" * 20),
        is_hls=True,
        as_json=True,
        player="192.0.2.50",
        arrival="",
        query="pid=1&x=%20",
    ),
    within=8.25,
    may_start=True,
)
THERE = Elsewhere(
    host="b",
    origin="http://192.0.2.11:6878",
    opening=Opening("ab" * 20, "token", "session", True, True, 12),
    is_hls=True,
)
BEAT = wire.beat(AT, DIGEST)
CHANGE = wire.change(AT, DIGEST, ENGINES, ["engine-19002"])
SNAPSHOT = wire.snapshot(AT, DIGEST, ENGINES)
PLAY = wire.play(ASK)
PLAYED = wire.answer(THERE)


def changed(body: bytes, **fields: object) -> bytes:
    return msgspec.json.encode({**json.loads(body), **fields})


def test_what_is_written_is_read_as_it_was() -> None:
    assert wire.read_beat("b", BEAT) == BeatHeard(host="b", at=AT, digest=DIGEST)
    assert wire.read_change("b", CHANGE) == ChangeHeard(
        host="b", at=AT, digest=DIGEST, up=ENGINES, gone=("engine-19002",)
    )
    assert wire.read_snapshot("b", SNAPSHOT) == SnapshotHeard(
        host="b", at=AT, digest=DIGEST, engines=ENGINES
    )
    assert wire.read_play(PLAY) == ASK
    assert wire.read_answer("b", PLAYED) == THERE
    assert wire.read_drop(wire.drop("r-1")) == "r-1"


@pytest.mark.parametrize("why", NotPlayed)
def test_a_decline_is_read_as_it_was(why: NotPlayed) -> None:
    declined = Declined(why, "no engine was free in time")
    assert wire.read_answer("b", wire.answer(declined)) == declined


def test_a_host_says_all_of_its_engines_at_once() -> None:
    engines = tuple(
        SharedEngine(f"engine-{port}", port, Doing.DRAINING, 1000) for port in range(19000, 19500)
    )
    body = wire.snapshot(AT, DIGEST, engines)
    assert wire.read_snapshot("b", body).engines == engines


def test_it_asks_for_no_longer_than_an_answer_may_take() -> None:
    """A server lets a host answer for 30 s."""
    ask = msgspec.structs.replace(ASK, within=300)
    assert wire.read_play(wire.play(ask)).within == 28


def test_long_words_of_a_decline_are_cut() -> None:
    cut = wire.read_answer("b", wire.answer(Declined(NotPlayed.REFUSED, "x" * 9000)))
    assert cut == Declined(NotPlayed.REFUSED, "x" * 500)


def test_a_newer_acekeeper_may_say_more() -> None:
    engine = {"id": "engine-1", "port": 1, "doing": "dreaming", "streams": 0, "mood": "good"}
    assert wire.read_beat("b", changed(BEAT, mood={"is": ["good"]})).digest == DIGEST
    heard = wire.read_snapshot("b", changed(SNAPSHOT, all=[engine]))
    assert heard.engines == (SharedEngine("engine-1", 1, Doing.UNWELL, 0),)
    assert wire.read_play(changed(PLAY, mood=1)) == ASK
    assert wire.read_answer("b", changed(PLAYED, mood=1)) == THERE


def test_an_older_acekeeper_may_say_less() -> None:
    said = json.loads(BEAT)
    del said["maintenance"], said["panel"]
    digest = wire.read_beat("b", msgspec.json.encode(said)).digest
    assert digest == msgspec.structs.replace(DIGEST, maintenance=False, panel="")
    said = json.loads(PLAY)
    del said["hops"]
    assert wire.read_play(msgspec.json.encode(said)) == ASK


ENGINE: dict[str, Any] = json.loads(SNAPSHOT)["all"][0]
BAD: list[tuple[Any, bytes]] = [
    (wire.read_beat, b""),
    (wire.read_beat, b"[]"),
    (wire.read_beat, b"\xff\xfe"),
    (wire.read_beat, b"[" * 100_000),
    (wire.read_beat, BEAT + b" " * 262_144),
    (wire.read_beat, b"{}"),
    (wire.read_beat, changed(BEAT, seq=-1)),
    (wire.read_beat, changed(BEAT, seq=1.5)),
    (wire.read_beat, changed(BEAT, seq="7")),
    (wire.read_beat, changed(BEAT, epoch="x" * 65)),
    (wire.read_beat, changed(BEAT, epoch="two\nlines")),
    (wire.read_beat, changed(BEAT, version="é")),
    (wire.read_beat, changed(BEAT, free=10**9)),
    (wire.read_beat, changed(BEAT, maintenance=1)),
    (wire.read_beat, changed(BEAT, panel="javascript:alert(1)")),
    (wire.read_beat, changed(BEAT, panel="http://a/\n")),
    (wire.read_beat, changed(BEAT, panel="http://" + "a" * 250)),
    (wire.read_change, changed(CHANGE, up=[ENGINE] * 501)),
    (wire.read_change, changed(CHANGE, gone=["engine-1"] * 501)),
    (wire.read_change, changed(CHANGE, gone=["x" * 129])),
    (wire.read_change, changed(CHANGE, gone=[""])),
    (wire.read_snapshot, BEAT),
    (wire.read_snapshot, changed(SNAPSHOT, all=[ENGINE] * 501)),
    (wire.read_snapshot, changed(SNAPSHOT, all=[{**ENGINE, "port": 0}])),
    (wire.read_snapshot, changed(SNAPSHOT, all=[{**ENGINE, "id": "an id"}])),
    (wire.read_snapshot, changed(SNAPSHOT, all=[{**ENGINE, "streams": -1}])),
    (wire.read_drop, changed(wire.drop("r"), request="")),
    (wire.read_play, changed(PLAY, hops=2)),
    (wire.read_play, changed(PLAY, form="mp4")),
    (wire.read_play, changed(PLAY, content=["content_id"])),
    (wire.read_play, changed(PLAY, content=["content_id", "x" * 8193])),
    (wire.read_play, changed(PLAY, query="a b")),
    (wire.read_play, changed(PLAY, player="")),
    (wire.read_play, changed(PLAY, player="192.0.2.1/24")),
    (wire.read_play, changed(PLAY, wait_ms=-1)),
    (wire.read_play, changed(PLAY, request=None)),
]
BAD_ANSWERS = [
    b"",
    changed(PLAYED, answer="asked"),
    changed(PLAYED, origin="https://192.0.2.11:6878"),
    changed(PLAYED, origin="http://192.0.2.11:6878/x"),
    changed(PLAYED, origin="http://192.0.2.11:6878\n"),
    changed(PLAYED, token="x" * 65),
    changed(PLAYED, is_live="yes"),
    changed(wire.answer(Declined(NotPlayed.SILENT, "")), why="asleep"),
    changed(wire.answer(Declined(NotPlayed.SILENT, "")), words="x" * 501),
]


@pytest.mark.parametrize(("read", "body"), BAD)
def test_what_cannot_be_read_is_told(read: Any, body: bytes) -> None:
    of_host = () if read in (wire.read_play, wire.read_drop) else ("b",)
    with pytest.raises(BadMessage, match=re.compile(".+")):
        read(*of_host, body)


@pytest.mark.parametrize("body", BAD_ANSWERS)
def test_an_answer_that_cannot_be_read_is_told(body: bytes) -> None:
    with pytest.raises(BadMessage):
        wire.read_answer("b", body)


def test_what_is_wrong_is_told_in_a_few_plain_characters() -> None:
    with pytest.raises(BadMessage) as bad:
        wire.read_beat("b", changed(BEAT, **{"x\x1b": 1}, seq="\x1b" * 5000))
    assert str(bad.value).isascii()
    assert str(bad.value).isprintable()
    assert len(str(bad.value)) <= 80


SUBJECTS = Subjects("home", "a")


@pytest.mark.parametrize(
    ("subject", "read"),
    [
        ("beat.b", (Topic.BEAT, "b")),
        ("state.b-2", (Topic.STATE, "b-2")),
        ("snap.a.b", (Topic.SNAP, "b")),
        ("ask.a.sync.b", (Topic.SYNC, "b")),
        ("ask.a.play.b", (Topic.PLAY, "b")),
        ("ask.a.drop.b", (Topic.DROP, "b")),
    ],
)
def test_who_speaks_is_read_from_the_subject(subject: str, read: tuple[Topic, str]) -> None:
    assert SUBJECTS.read(f"acekeeper.v1.home.{subject}") == read


@pytest.mark.parametrize(
    "subject",
    [
        "acekeeper.v1.home.beat",
        "acekeeper.v1.home.beat.",
        "acekeeper.v1.home.beat.B",
        "acekeeper.v1.home.beat.b.c",
        "acekeeper.v1.home.beat." + "b" * 64,
        "acekeeper.v1.home.snap.c.b",
        "acekeeper.v1.home.ask.c.play.b",
        "acekeeper.v1.home.ask.a.stop.b",
        "acekeeper.v1.other.beat.b",
        "acekeeper.v2.home.beat.b",
        "",
    ],
)
def test_other_subjects_are_none_of_ours(subject: str) -> None:
    with pytest.raises(BadMessage):
        SUBJECTS.read(subject)


def test_what_one_host_says_is_what_another_listens_to() -> None:
    there = Subjects("home", "b")
    said = [
        there.told(Topic.BEAT),
        there.told(Topic.STATE),
        there.snapshot("a"),
        there.asked("a", Topic.SYNC),
        there.asked("a", Topic.PLAY),
        there.asked("a", Topic.DROP),
    ]
    assert [SUBJECTS.read(subject) for subject in said] == [
        (topic, "b")
        for topic in (Topic.BEAT, Topic.STATE, Topic.SNAP, Topic.SYNC, Topic.PLAY, Topic.DROP)
    ]
    patterns = [
        re.compile(p.replace(".", r"\.").replace("*", "[^.]+").replace(">", ".+"))
        for p in SUBJECTS.heard
    ]
    assert all(any(p.fullmatch(subject) for p in patterns) for subject in said)

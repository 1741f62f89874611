"""The messages of a fleet, as they go over the bus: subjects, and bodies of JSON.

Who speaks is read from the subject alone, which the server lets only that host use. Fields that are
not known are passed over, so that a newer acekeeper can say more; what would change the meaning of
these needs another version in the subject.
"""

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from acekeeper.adapters.calls import shown
from acekeeper.core.doubt import Content
from acekeeper.core.fleet.facts import BeatHeard, ChangeHeard, SnapshotHeard
from acekeeper.core.fleet.model import Digest, Doing, Position, SharedEngine
from acekeeper.core.gateway.model import Declined, Elsewhere, NotPlayed, PlayAsk, Wanted
from acekeeper.core.model import Opening

T = TypeVar("T")

_LONGEST = 262_144  # bytes; five hundred engines are some fifty thousand
_ENGINES_MOST = 500
# The server lets a host answer for 30 s.
_PLAY_WITHIN = 28.0
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Seq = Annotated[int, Meta(ge=0, le=2**53)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Word = Annotated[str, Meta(max_length=64, pattern=r"\A[ -~]*\Z")]
Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[!-~]+\Z")]
Url = Annotated[str, Meta(max_length=256, pattern=r"\A(https?://[!-~]+)?\Z")]
Said = Annotated[str, Meta(max_length=8192, pattern=r"\A[!-~]*\Z")]
Words = Annotated[str, Meta(max_length=500)]
Engines = Annotated[list["_Engine"], Meta(max_length=_ENGINES_MOST)]


class BadMessage(Exception):
    """A message that cannot be read."""


class Topic(StrEnum):
    """What a message is about: a part of its subject."""

    BEAT = "beat"
    STATE = "state"
    SNAP = "snap"
    SYNC = "sync"
    PLAY = "play"
    DROP = "drop"


class _Engine(Struct):
    id: Id
    port: Port
    doing: Word
    streams: Count

    def shared(self) -> SharedEngine:
        """A newer acekeeper may know of more that an engine does; none of it is `free`."""
        known = self.doing in Doing.__members__.values()
        doing = Doing(self.doing) if known else Doing.UNWELL
        return SharedEngine(self.id, self.port, doing, self.streams)


class _Beat(Struct, kw_only=True):
    epoch: Word
    seq: Seq
    version: Word
    engines: Count
    free: Count
    room: Count
    streams: Count
    maintenance: bool = False
    panel: Url = ""

    @property
    def at(self) -> Position:
        return Position(self.epoch, self.seq)

    @property
    def digest(self) -> Digest:
        return Digest(
            version=self.version,
            engines=self.engines,
            free=self.free,
            room=self.room,
            streams=self.streams,
            maintenance=self.maintenance,
            panel=self.panel,
        )


class _Change(_Beat, kw_only=True):
    up: Engines = []
    gone: Annotated[list[Id], Meta(max_length=_ENGINES_MOST)] = []


class _Snapshot(_Beat, kw_only=True):
    all: Engines


class _Drop(Struct):
    request: Id


class _Play(Struct, kw_only=True):
    request: Id
    content: tuple[Word, Said]
    form: Literal["ts", "hls"]
    json: bool
    player: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[0-9A-Za-z.:%]+\Z")]
    query: Said
    wait_ms: Annotated[int, Meta(ge=0, le=600_000)]
    start: bool  # an engine may be started for it
    hops: Annotated[int, Meta(ge=1, le=1)] = 1  # an ask is not passed on


class _Played(Struct, kw_only=True, tag_field="answer", tag="played"):
    origin: Annotated[str, Meta(max_length=80, pattern=r"\Ahttp://[0-9A-Za-z.:\[\]-]+\Z")]
    infohash: Word
    token: Word
    session: Word
    is_live: bool
    is_encrypted: bool = False
    client_session_id: Annotated[int, Meta(ge=-(2**53), le=2**53)] = -1
    is_hls: bool


class _Declined(Struct, tag_field="answer", tag="declined"):
    why: NotPlayed
    words: Words


class _Decoder(Generic[T]):
    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)

    def __call__(self, body: bytes) -> T:
        if len(body) > _LONGEST:
            raise BadMessage(f"it has {len(body)} bytes, more than {_LONGEST}")
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadMessage(shown(str(error))) from None


_encode = msgspec.json.Encoder().encode
_beat: Final = _Decoder[_Beat](_Beat)
_change: Final = _Decoder[_Change](_Change)
_snapshot: Final = _Decoder[_Snapshot](_Snapshot)
_drop: Final = _Decoder[_Drop](_Drop)
_play: Final = _Decoder[_Play](_Play)
_answer: Final = _Decoder[_Played | _Declined](_Played | _Declined)


class Subjects(NamedTuple):
    """Those that a host uses."""

    fleet: str
    me: str

    @property
    def heard(self) -> tuple[str, ...]:
        """Patterns of what others say."""
        return (
            self._named("beat.*"),
            self._named("state.*"),
            self._named(f"snap.{self.me}.*"),
            self._named(f"ask.{self.me}.>"),
        )

    @property
    def inbox(self) -> str:
        """Of answers; the server lets no other host listen there."""
        return f"_INBOX.{self.me}"

    def told(self, topic: Literal[Topic.BEAT, Topic.STATE]) -> str:
        return self._named(f"{topic}.{self.me}")

    def snapshot(self, host: str) -> str:
        return self._named(f"snap.{host}.{self.me}")

    def asked(self, host: str, topic: Literal[Topic.SYNC, Topic.PLAY, Topic.DROP]) -> str:
        return self._named(f"ask.{host}.{topic}.{self.me}")

    def read(self, subject: str) -> tuple[Topic, str]:
        """What a message that was heard is about, and who speaks."""
        match subject.removeprefix(self._named("")).split("."):
            case ["beat" | "state" as topic, host] if _HOST.fullmatch(host):
                return Topic(topic), host
            case ["snap", self.me, host] if _HOST.fullmatch(host):
                return Topic.SNAP, host
            case ["ask", self.me, "sync" | "play" | "drop" as topic, host] if _HOST.fullmatch(host):
                return Topic(topic), host
            case _:
                raise BadMessage(f"nothing is known of the subject {shown(subject)}")

    def _named(self, rest: str) -> str:
        return f"acekeeper.v1.{self.fleet}.{rest}"


def beat(at: Position, digest: Digest) -> bytes:
    return _encode(_Beat(**_common(at, digest)))


def change(at: Position, digest: Digest, up: Sequence[SharedEngine], gone: Sequence[str]) -> bytes:
    return _encode(_Change(**_common(at, digest), up=_engines(up), gone=list(gone)))


def snapshot(at: Position, digest: Digest, engines: Sequence[SharedEngine]) -> bytes:
    return _encode(_Snapshot(**_common(at, digest), all=_engines(engines)))


def drop(request: str) -> bytes:
    return _encode(_Drop(request))


def play(ask: PlayAsk) -> bytes:
    wanted = ask.wanted
    return _encode(
        _Play(
            request=ask.request,
            content=wanted.content,
            form="hls" if wanted.is_hls else "ts",
            json=wanted.as_json,
            player=wanted.player,
            query=wanted.query,
            wait_ms=math.floor(min(ask.within, _PLAY_WITHIN) * 1000),
            start=ask.may_start,
        )
    )


def answer(outcome: Elsewhere | Declined) -> bytes:
    if isinstance(outcome, Declined):
        return _encode(_Declined(outcome.why, outcome.words[:500]))
    opening = outcome.opening
    return _encode(
        _Played(
            origin=outcome.origin,
            infohash=opening.infohash,
            token=opening.token,
            session=opening.session,
            is_live=opening.is_live,
            is_encrypted=opening.is_encrypted,
            client_session_id=opening.client_session_id,
            is_hls=outcome.is_hls,
        )
    )


def read_beat(host: str, body: bytes) -> BeatHeard:
    said = _beat(body)
    return BeatHeard(host=host, at=said.at, digest=said.digest)


def read_change(host: str, body: bytes) -> ChangeHeard:
    said = _change(body)
    return ChangeHeard(
        host=host,
        at=said.at,
        digest=said.digest,
        up=tuple(engine.shared() for engine in said.up),
        gone=tuple(said.gone),
    )


def read_snapshot(host: str, body: bytes) -> SnapshotHeard:
    said = _snapshot(body)
    engines = tuple(engine.shared() for engine in said.all)
    return SnapshotHeard(host=host, at=said.at, digest=said.digest, engines=engines)


def read_drop(body: bytes) -> str:
    return _drop(body).request


def read_play(body: bytes) -> PlayAsk:
    said = _play(body)
    wanted = Wanted(
        content=Content(*said.content),
        is_hls=said.form == "hls",
        as_json=said.json,
        player=said.player,
        arrival="",
        query=said.query,
    )
    return PlayAsk(
        request=said.request, wanted=wanted, within=said.wait_ms / 1000, may_start=said.start
    )


def read_answer(host: str, body: bytes) -> Elsewhere | Declined:
    said = _answer(body)
    if isinstance(said, _Declined):
        return Declined(said.why, said.words)
    opening = Opening(
        said.infohash,
        said.token,
        said.session,
        said.is_live,
        said.is_encrypted,
        said.client_session_id,
    )
    return Elsewhere(host=host, origin=said.origin, opening=opening, is_hls=said.is_hls)


def _common(at: Position, digest: Digest) -> dict[str, Any]:
    return {"epoch": at.epoch, "seq": at.seq, **msgspec.structs.asdict(digest)}


def _engines(engines: Sequence[SharedEngine]) -> list[_Engine]:
    return [_Engine(e.id, e.port, e.doing.value, e.streams) for e in engines]

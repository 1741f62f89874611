"""The shapes on the wire: what is accepted (strictly, and bounded) and what is sent."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from acekeeper.core.model import KeyType

Name = Annotated[str, Meta(max_length=256)]
Id = Annotated[str, Meta(max_length=8192)]  # a key and a session
Text = Annotated[str, Meta(max_length=4096)]
Url = Annotated[str, Meta(max_length=4096)]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]
Labels = Annotated[dict[Name, Name], Meta(max_length=64)]


class EngineAddress(Struct):
    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: PortNumber


class StreamKey(Struct):
    key_type: KeyType
    key: Annotated[str, Meta(min_length=1, max_length=4096)]


class Session(Struct):
    playback_session_id: Name
    stat_url: Url
    command_url: Url
    is_live: int


class StreamStarted(Struct):
    engine: EngineAddress
    stream: StreamKey
    session: Session
    container_id: Name | None = None
    labels: Annotated[dict[Name, Id], Meta(max_length=64)] | None = None  # one may be its id


class StreamEnded(Struct):
    container_id: Name | None = None
    stream_id: Id | None = None
    reason: Name | None = None


class EventBatch(Struct):
    """Events stay raw, so that a bad one fails alone."""

    started: list[msgspec.Raw] = []
    ended: list[msgspec.Raw] = []


class ProvisionRequest(Struct):
    image: Name | None = None
    labels: Labels | None = None
    env: dict[str, str] | None = None
    host_port: PortNumber | None = None


class Engine(Struct):
    container_id: str
    container_name: str
    host: str
    port: int
    labels: dict[str, str]
    forwarded: bool
    first_seen: datetime
    last_seen: datetime
    health_status: Literal["healthy", "unhealthy", "unknown"]
    last_health_check: datetime | None
    last_stream_usage: datetime | None
    last_cache_cleanup: datetime | None
    cache_size_bytes: int | None
    streams: list[str]
    phase: Literal["starting", "running", "draining", "stopping"]


class Stream(Struct):
    id: str
    key_type: str
    key: str
    container_id: str
    playback_session_id: str
    stat_url: str
    command_url: str
    is_live: bool
    started_at: datetime
    ended_at: datetime | None
    status: Literal["started", "ended"]
    reason: str | None = None


class EngineScore(Struct):
    container_id: str
    host: str
    port: int
    health_score: int
    stream_count: int
    health_status: str


class Provisioned(Struct):
    container_id: str
    container_name: str
    host_http_port: int
    container_http_port: int
    container_https_port: int


class Refused(Struct):
    error: str
    code: str
    message: str
    recovery_eta_seconds: int | None
    can_retry: bool
    should_wait: bool


class Accepted(Struct):
    stream_id: str | None
    status: str = "accepted"


class Result(Struct, omit_defaults=True):
    """One event of a batch: its stream, or why it failed."""

    success: bool
    stream_id: str | None = None
    error: str | None = None

    @classmethod
    def failed(cls, error: str) -> "Result":
        return cls(success=False, error=error)


def moment(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)


def moment_or_none(wall: float | None) -> datetime | None:
    return None if wall is None else moment(wall)

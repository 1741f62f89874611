"""The shapes on the wire: what is accepted (strictly, and bounded) and what is sent."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from acekeeper.core.happenings import Mood
from acekeeper.core.model import KeyType

Name = Annotated[str, Meta(max_length=256)]
Id = Annotated[str, Meta(max_length=8192)]  # a key and a session
Text = Annotated[str, Meta(max_length=4096)]
Url = Annotated[str, Meta(max_length=4096)]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]
NoEnvironment = Annotated[dict[str, str], Meta(extra_json_schema={"maxProperties": 0})]
Labels = Annotated[dict[Name, Name], Meta(max_length=64)]
Moment = Annotated[datetime, Meta(tz=True)]
Phase = Literal["starting", "running", "draining", "stopping"]
HealthStatus = Literal["healthy", "unhealthy", "unknown"]
Via = Literal["event", "gateway"]
Going = Literal["draining", "stopping"]


class EngineAddress(Struct, gc=False):
    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: PortNumber


class StreamKey(Struct, gc=False):
    key_type: KeyType
    key: Annotated[str, Meta(min_length=1, max_length=4096)]


class Session(Struct, gc=False):
    playback_session_id: Name
    stat_url: Url
    command_url: Url
    is_live: int


class StreamStarted(Struct, gc=False):
    engine: EngineAddress
    stream: StreamKey
    session: Session
    container_id: Name | None = None
    labels: Annotated[dict[Name, Id], Meta(max_length=64)] | None = None  # one may be its id


class StreamEnded(Struct, gc=False):
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
    env: NoEnvironment | None = None
    host_port: PortNumber | None = None


class Engine(Struct):
    container_id: str
    container_name: str
    host: str
    port: int
    labels: dict[str, str]
    forwarded: bool
    first_seen: Moment
    last_seen: Moment
    health_status: HealthStatus
    last_health_check: Moment | None
    last_stream_usage: Moment | None
    last_cache_cleanup: Moment | None
    cache_size_bytes: int | None
    streams: list[str]
    phase: Phase
    playback_doubted: bool  # off the list until a try tells whether it plays
    starving: bool  # no stream on it has had a peer or any speed for minutes
    image: str | None  # None: none that is known
    vpn: str | None  # that it is behind


class Stream(Struct):
    id: str
    key_type: str
    key: str
    container_id: str
    playback_session_id: str
    stat_url: str
    command_url: str
    is_live: bool
    started_at: Moment
    ended_at: Moment | None
    status: Literal["started", "ended"]
    reason: str | None = None
    via: Via = "event"  # who told of it
    player: str | None = None  # of the gateway: the address it comes from


class Ports(Struct):
    http: int
    https: int
    p2p: int
    api: int


class Container(Struct):
    """One of our engines in detail. `unread` says what could not be found out, and why."""

    container_id: str
    container_name: str
    host: str
    ports: Ports
    labels: dict[str, str]
    phase: Phase
    health_status: HealthStatus
    start: str
    asked_at: Moment
    started_at: Moment | None
    ready_at: Moment | None
    streams: list[str]
    unit: str | None
    status: str | None
    pid: int | None
    exit_code: int | None
    oom_killed: bool | None
    image: str | None
    image_id: str | None
    image_digest: str | None
    created_at: Moment | None
    unread: str | None


class EngineScore(Struct):
    container_id: str
    host: str
    port: int
    health_score: int
    stream_count: int
    health_status: HealthStatus


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


class Result(Struct, omit_defaults=True, gc=False):
    """One event of a batch: its stream, or why it failed."""

    success: bool
    stream_id: str | None = None
    error: str | None = None

    @classmethod
    def failed(cls, error: str) -> "Result":
        return cls(success=False, error=error)


class BatchResult(Struct):
    """One result per event, in order."""

    started: list[Result]
    ended: list[Result]


class EngineWithStreams(Struct):
    engine: Engine
    streams: list[Stream]


class Named(Struct):
    container_id: str
    container_name: str


class StreamSample(Struct):
    """What its engine said of a stream; speeds in KB/s, totals in bytes."""

    ts: Moment
    peers: int
    speed_down: int
    speed_up: int
    downloaded: int
    uploaded: int
    status: str


class LogEntry(Struct):
    """Something that happened. Ids rise with time, not by one."""

    id: int
    ts: Moment
    kind: str
    mood: Mood | None  # of who reads it
    engine: str | None
    stream: str | None
    data: dict[str, Any]


class Problem(Struct):
    """Every error but that of a provision that could not be done."""

    detail: str


class NotProvided(Struct):
    """A provision that could not be done says why in full."""

    detail: Refused | str


class Leaving(Struct):
    container_id: str
    status: Going


class StreamOver(Struct):
    stream_id: str
    engine: Literal["stopped", "stopping", "silent", "not_asked"]
    status: Literal["ended"] = "ended"


class Scaled(Struct):
    scaled_to: int
    running: int


class Swept(Struct):
    """A report for every kind of sweep."""

    scale: dict[str, int | float]
    health: dict[str, int | float]
    streams: dict[str, int | float]
    status: Literal["ok"] = "ok"


class Told(Struct):
    message: str


def moment(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)


def wall_or_none(moment: datetime | None) -> float | None:
    """Without a zone, a time is UTC."""
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def moment_or_none(wall: float | None) -> Moment | None:
    return None if wall is None else moment(wall)

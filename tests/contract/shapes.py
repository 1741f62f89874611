"""What the client decodes, with its types: what is null there without harm may be null here."""

from dataclasses import dataclass
from datetime import datetime


@dataclass
class Engine:
    container_id: str
    container_name: str
    host: str
    port: int
    labels: dict[str, str]
    forwarded: bool
    first_seen: datetime
    last_seen: datetime
    health_status: str
    last_health_check: datetime
    last_stream_usage: datetime
    last_cache_cleanup: datetime
    cache_size_bytes: int
    streams: list[str]


@dataclass
class Stream:
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
    status: str


@dataclass
class Provisioned:
    container_id: str
    container_name: str
    host_http_port: int
    container_http_port: int
    container_https_port: int


@dataclass
class Refusal:
    error: str
    code: str
    message: str
    recovery_eta_seconds: int
    can_retry: bool
    should_wait: bool


@dataclass
class RefusalBody:
    detail: Refusal


@dataclass
class Vpn:
    connected: bool


@dataclass
class Provisioning:
    can_provision: bool
    blocked_reason: str
    blocked_reason_details: Refusal | None


@dataclass
class Capacity:
    total: int
    used: int
    available: int


@dataclass
class Status:
    status: str
    vpn: Vpn
    provisioning: Provisioning
    capacity: Capacity


@dataclass
class Session:
    """The engine's own answer to `getstream`."""

    playback_url: str
    stat_url: str
    command_url: str
    playback_session_id: str
    is_live: int


@dataclass
class GetStream:
    response: Session
    error: str

"""The six calls of the client, with its patience, and no more: it neither sends `If-None-Match`
nor reads the answers to its events."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import aiohttp
from yarl import URL

from .go_json import ZERO_TIME, Refused, decode
from .shapes import Engine, Provisioned, Refusal, RefusalBody, Status, Stream

T = TypeVar("T")

PATIENCE = 3.0  # of a call, from its start to its last byte
_ENGINES_KEPT = 2.0
_PROVISION_TRIES = 3
_SAID_BEFORE = Refusal(
    "", "", "the last status said that nothing can be provisioned", 0, True, False
)


class CallFailed(Exception):
    pass


class ProvisionRefused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Address(NamedTuple):
    host: str
    port: int


@dataclass(frozen=True)
class Waits:
    """How the client waits, in seconds; a test may be in more of a hurry."""

    patience: float = PATIENCE
    after_provision: float = 5.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Client:
    """One proxy: what it knows is shared by all its viewers."""

    def __init__(
        self, base: str, key: str = "", waits: Waits | None = None, max_streams: int = 1
    ) -> None:
        self._base = base
        self._authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._waits = waits = waits or Waits()
        self._max_streams = max_streams
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=waits.patience))
        self._engines: list[Engine] = []
        self._engines_until = 0.0
        self.can_provision = False

    async def __aenter__(self) -> Self:
        await self.poll_status()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._session.close()

    async def poll_status(self) -> None:
        """Every 30 s, without a token; whatever the code, what can be decoded counts."""
        try:
            async with self._session.get(self._url("/orchestrator/status")) as response:
                status = decode(await response.read(), Status)
        except (aiohttp.ClientError, TimeoutError, Refused):
            return
        self.can_provision = status.provisioning.can_provision

    async def engines(self) -> list[Engine]:
        if time.monotonic() >= self._engines_until:
            self._engines = await self.read_engines()
            self._engines_until = time.monotonic() + _ENGINES_KEPT
        return self._engines

    async def read_engines(self) -> list[Engine]:
        return await self._get("/engines", list[Engine])

    async def streams(self, container_id: str) -> list[Stream]:
        """The capacity question."""
        return await self._get(f"/streams?container_id={container_id}&status=started", list[Stream])

    async def choose(self) -> Address:
        """CallFailed where the client silently falls back on an engine of its own,
        ProvisionRefused where its viewer gets a 503."""
        free = []
        for engine in await self.engines():
            try:
                streams = await self.streams(engine.container_id)
            except CallFailed:
                continue
            count = sum(stream.status == "started" for stream in streams)
            if count < self._max_streams:
                free.append((_order(engine, count), Address(engine.host, engine.port)))
        if free:
            return min(free, key=itemgetter(0))[1]
        return await self._provisioned()

    async def _provisioned(self) -> Address:
        if not self.can_provision:
            raise ProvisionRefused(_SAID_BEFORE)
        engine = await self._provision()
        await self._waits.sleep(self._waits.after_provision)
        self._engines_until = 0.0  # kept for less than it waited
        if all(e.container_id != engine.container_id for e in await self._engines_or_none()):
            await self._waits.sleep(self._waits.after_provision)
        return Address("localhost", engine.host_http_port)

    async def _engines_or_none(self) -> list[Engine]:
        try:
            return await self.engines()
        except CallFailed:
            return []

    async def _provision(self) -> Provisioned:
        """At once again after anything but a full refusal; after that it does what it says."""
        for tries in range(1, _PROVISION_TRIES + 1):
            try:
                return await self.provision()
            except ProvisionRefused as error:
                if tries == _PROVISION_TRIES or not error.refusal.should_wait:
                    raise
                eta = error.refusal.recovery_eta_seconds
                await self._waits.sleep(eta // 2 if tries == 1 else eta)
            except CallFailed:
                if tries == _PROVISION_TRIES:
                    raise
        raise AssertionError("the last try returns or raises")

    async def provision(self) -> Provisioned:
        """One POST."""
        code, body = await self._call("POST", "/provision/acestream", {"labels": {}, "env": {}})
        if code == 200:
            return _decode(body, Provisioned)
        refusal = _decode(body, RefusalBody).detail
        if not refusal.code:
            raise CallFailed(f"answered {code} without a code: {body!r}")
        raise ProvisionRefused(refusal)

    async def event(self, path: str, event: object) -> bool:
        """Whether it was acknowledged."""
        try:
            async with self._session.post(
                self._url(path), json=event, headers=self._authorization
            ) as response:
                response.close()  # unread, so that the connection is not used again
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _get(self, path: str, kind: type[T]) -> T:
        code, body = await self._call("GET", path)
        if code != 200:
            raise CallFailed(f"GET {path} answered {code}: {body!r}")
        return _decode(body, kind)

    async def _call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        try:
            async with self._session.request(
                method, self._url(path), json=body, headers=self._authorization
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CallFailed(f"{method} {path}: {error!r}") from error

    def _url(self, path: str) -> URL:
        return URL(self._base + path, encoded=True)


def _order(engine: Engine, streams: int) -> tuple[bool, int, bool, timedelta]:
    """The least is chosen; who was never used counts as used longest ago."""
    ill = engine.health_status != "healthy"
    return ill, streams, not engine.forwarded, engine.last_stream_usage - ZERO_TIME


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return decode(body, kind)
    except Refused as error:
        raise CallFailed(str(error)) from error

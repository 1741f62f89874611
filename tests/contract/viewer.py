"""One viewer of the client, from the choice of an engine to the stop."""

import asyncio
import uuid
from asyncio import Task
from types import TracebackType
from typing import Any, Self

import aiohttp

from .client import Address, Client
from .go_json import Refused, decode
from .shapes import GetStream, Session

_GETSTREAM_WITHIN = 20.0
_SILENT_AFTER = 20.0  # then it ends with `timeout`


class PlaybackFailed(Exception):
    pass


class Viewer:
    """`infohash` is what it watches; nobody else may watch it at the same time."""

    def __init__(self, client: Client, infohash: str) -> None:
        self.client = client
        self.infohash = infohash
        self.address = Address("", 0)
        self.received = 0
        self.reason = ""  # why it stopped, once it has
        self.start_acknowledged = False
        self.end_acknowledged = False
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        self._session: Session | None = None
        self._reading: Task[str] | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """The test is over, so nothing more is said to anybody."""
        try:
            await self._stop_reading()
        finally:
            await self._http.close()

    @property
    def stream_id(self) -> str:
        return f"{self.infohash}|{self._token}"

    @property
    def plays(self) -> bool:
        return self._reading is not None and not self.reason

    async def begin(self) -> None:
        """All that comes before its first bytes, which `takes` waits for."""
        self.address = await self.client.choose()
        self._session = await self._getstream()
        self.start_acknowledged = await self.client.event(
            "/events/stream_started", self._started(self._session)
        )
        self.reason = ""
        self._reading = asyncio.create_task(self._read(self._session.playback_url))

    async def takes(self, more: int) -> None:
        """Waits until this many more bytes have come; PlaybackFailed when they cannot."""
        wanted = self.received + more
        while self.received < wanted:
            if not self.plays:
                raise PlaybackFailed(f"{self.address}: {self.reason or 'it never began'}")
            self._news.clear()
            await self._news.wait()

    async def ended(self) -> str:
        """Waits until playback ends by itself; the client's word for why."""
        if self._reading is None:
            raise PlaybackFailed("it never began")
        return await asyncio.shield(self._reading)

    async def leave(self, reason: str = "client_disconnected") -> None:
        """The event and the stop go out in no fixed order; neither's failure is of interest."""
        await self._stop_reading()
        self.end_acknowledged, _ = await asyncio.gather(
            self.client.event(
                "/events/stream_ended", {"stream_id": self.stream_id, "reason": reason}
            ),
            self._stop(),
        )

    async def _getstream(self) -> Session:
        host, port = self.address
        url = f"http://{host}:{port}/ace/getstream"
        query = {"infohash": self.infohash, "format": "json", "pid": str(uuid.uuid4())}
        within = aiohttp.ClientTimeout(total=_GETSTREAM_WITHIN)
        try:
            async with self._http.get(url, params=query, timeout=within) as response:
                answer = decode(await response.read(), GetStream)
        except (aiohttp.ClientError, TimeoutError, Refused) as error:
            raise PlaybackFailed(f"{url}: {error!r}") from error
        if answer.error:
            raise PlaybackFailed(f"{url}: {answer.error}")
        return answer.response

    def _started(self, session: Session) -> dict[str, Any]:
        return {
            "engine": self.address._asdict(),
            "stream": {"key_type": "infohash", "key": self.infohash},
            "session": {
                "playback_session_id": self._token,
                "stat_url": session.stat_url,
                "command_url": session.command_url,
                "is_live": session.is_live,
            },
            "labels": {"stream_id": self.stream_id},
        }

    @property
    def _token(self) -> str:
        """Not the engine's field of that name."""
        return self._session.stat_url.rpartition("/")[2] if self._session else ""

    async def _read(self, url: str) -> str:
        within = aiohttp.ClientTimeout(total=None, sock_read=_SILENT_AFTER)
        try:
            async with self._http.get(url, timeout=within) as response:
                async for data in response.content.iter_any():
                    self.received += len(data)
                    self._news.set()
            self.reason = "eof"
        except TimeoutError:
            self.reason = "timeout"
        except aiohttp.ClientError as error:
            self.reason = f"failed: {error!r}"
        self._news.set()
        return self.reason

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _stop(self) -> None:
        if self._session is None:
            return
        try:
            async with self._http.get(
                f"{self._session.command_url}?method=stop",
                timeout=aiohttp.ClientTimeout(total=_GETSTREAM_WITHIN),
            ) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return

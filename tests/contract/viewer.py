"""One viewer of the client, from the choice of an engine to the stop."""

import asyncio
import uuid
from typing import Any

import aiohttp

from .client import Address, Client
from .go_json import Refused, decode
from .picture import Picture, PlaybackFailed
from .shapes import GetStream, Session

_GETSTREAM_WITHIN = 20.0
_SILENT_AFTER = 20.0  # then it ends with `timeout`


class Viewer(Picture):
    """`infohash` is what it watches; nobody else may watch it at the same time."""

    def __init__(self, client: Client, infohash: str) -> None:
        super().__init__()
        self.client = client
        self.infohash = infohash
        self.address = Address("", 0)
        self.reason = ""  # why it stopped, once it has
        self.start_acknowledged = False
        self.end_acknowledged = False
        self._session: Session | None = None

    @property
    def stream_id(self) -> str:
        return f"{self.infohash}|{self._token}"

    async def begin(self) -> None:
        """All that comes before its first bytes, which `takes` waits for."""
        self.address = await self.client.choose()
        self._session = await self._getstream()
        self.start_acknowledged = await self.client.event(
            "/events/stream_started", self._started(self._session)
        )
        self.reason = ""
        self._begin(self._read(self._session.playback_url))

    async def leave(self, reason: str = "client_disconnected") -> None:
        """The event and the stop go out in no fixed order; neither's failure is of interest."""
        await self.hang_up()
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
                await self._take(response)
            self.reason = "eof"
        except TimeoutError:
            self.reason = "timeout"
        except aiohttp.ClientError as error:
            self.reason = f"failed: {error!r}"
        return self.reason

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

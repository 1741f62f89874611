"""Players of the gateway: one that is redirected, and a strict one that asks for JSON as the plain
Acexy does."""

import asyncio
import time
from asyncio import Task
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL

_HEADERS_WITHIN = 10.0  # of each hop, for one that asks for JSON
_REDIRECTED_MOST = 8
_PATIENCE = 60.0


class NotPlayed(Exception):
    pass


class Player:
    """`as_json`: it gives up a request whose headers do not come within 10 s, and stops its
    session at the end."""

    def __init__(self, gateway: str, content: str, *, as_json: bool = False) -> None:
        self.gateway = gateway
        self.content = content
        self.as_json = as_json
        self.session: dict[str, Any] = {}
        self.answered_after = 0.0  # seconds, until getstream was answered
        self.place = ""  # the URL of the bytes
        self.received = 0
        self._news = asyncio.Event()
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        self._reading: Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        try:
            await self.hang_up()
        finally:
            await self._http.close()

    @property
    def port(self) -> int:
        """Of the engine it plays from."""
        return URL(self.place).port or 0

    @property
    def plays(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def begin(self) -> Self:
        """Until its first bytes."""
        self.ask()
        await self.takes(1)
        return self

    def ask(self) -> None:
        """Begins, and does not wait."""
        self._reading = asyncio.create_task(self._play())

    async def takes(self, more: int) -> None:
        """Waits until this many more bytes have come."""
        wanted = self.received + more
        async with asyncio.timeout(_PATIENCE):
            while self.received < wanted:
                if self._reading is None or self._reading.done():
                    await self.ended()
                    raise NotPlayed(f"the picture ended after {self.received} bytes")
                self._news.clear()
                await self._news.wait()

    async def ended(self) -> None:
        """Waits for the end of playback; raises what ended it."""
        if self._reading is not None:
            await asyncio.wait_for(asyncio.shield(self._reading), _PATIENCE)

    async def hang_up(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def leave(self) -> None:
        """As players do: one that asked for JSON stops its session, others only hang up."""
        await self.hang_up()
        if self.session:
            await self.stop()

    async def stop(self) -> dict[str, Any]:
        async with self._http.get(f"{self.session['command_url']}?method=stop") as answer:
            said: dict[str, Any] = await answer.json(content_type=None)
        return said

    async def _play(self) -> None:
        try:
            began = time.monotonic()
            url = f"{self.gateway}/ace/getstream?id={self.content}"
            if self.as_json:
                url = await self._open(f"{url}&format=json&pid=0123456789abcdef")
                self.answered_after = time.monotonic() - began
            await self._read(url)
        finally:
            self._news.set()

    async def _open(self, url: str) -> str:
        within = aiohttp.ClientTimeout(total=_HEADERS_WITHIN)
        async with self._http.get(url, timeout=within) as answer:
            said = await answer.json(content_type=None)
        if said["error"] is not None:
            raise NotPlayed(said["error"])
        self.session = said["response"]
        return str(self.session["playback_url"])

    async def _read(self, url: str) -> None:
        began = time.monotonic()
        within = _HEADERS_WITHIN if self.as_json else _PATIENCE
        for _ in range(_REDIRECTED_MOST + 1):
            async with asyncio.timeout(within):
                answer = await self._http.get(url, allow_redirects=False)
            async with answer:
                if answer.status == 302:
                    self.answered_after = self.answered_after or time.monotonic() - began
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status != 200:
                    raise NotPlayed(f"{answer.status} {await answer.text()}")
                self.place = url
                async for data in answer.content.iter_any():
                    self.received += len(data)
                    self._news.set()
                return
        raise NotPlayed(f"more than {_REDIRECTED_MOST} redirects")

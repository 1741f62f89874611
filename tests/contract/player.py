"""Players of the gateway: one that is redirected, and a strict one that asks for JSON as the plain
Acexy does."""

import asyncio
import time
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from .picture import Picture, PlaybackFailed

_HEADERS_WITHIN = 10.0  # of each hop, for one that asks for JSON
_REDIRECTED_MOST = 8
_PATIENCE = 60.0


class Player(Picture):
    """`as_json`: it gives up a request whose headers do not come within 10 s, and stops its
    session at the end. `address`: as for any picture."""

    call = "getstream"

    def __init__(
        self, gateway: str, content: str, *, as_json: bool = False, address: str | None = None
    ) -> None:
        super().__init__(address)
        self.gateway = gateway
        self.content = content
        self.as_json = as_json
        self.patience = _HEADERS_WITHIN if as_json else _PATIENCE  # of a hop, in seconds
        self.asked: list[str] = []  # all URLs, but for that of a stop
        self.session: dict[str, Any] = {}
        self.answered_after = 0.0  # seconds, until getstream was answered
        self.place = ""  # the URL of the bytes

    @property
    def port(self) -> int:
        """Of the engine it plays from."""
        return URL(self.place).port or 0

    @property
    def host(self) -> str:
        return URL(self.place).host or ""

    async def begin(self) -> Self:
        """Until its first bytes."""
        self.ask()
        await self.takes(1)
        return self

    def ask(self) -> None:
        """Begins, and does not wait."""
        self._begin(self._play())

    async def reaches(self, hops: int) -> None:
        """Waits until it has asked so many times."""
        while len(self.asked) < hops:
            self._news.clear()
            await self._news.wait()

    async def leave(self) -> None:
        """As players do: one that asked for JSON stops its session, others only hang up."""
        await self.hang_up()
        if self.session:
            await self.stop()

    async def stop(self) -> dict[str, Any]:
        async with self._http.get(f"{self.session['command_url']}?method=stop") as answer:
            said: dict[str, Any] = await answer.json(content_type=None)
        return said

    async def _play(self) -> str:
        began = time.monotonic()
        url = f"{self.gateway}/ace/{self.call}?id={self.content}"
        if self.as_json:
            url = await self._open(f"{url}&format=json&pid=0123456789abcdef")
            self.answered_after = time.monotonic() - began
        return await self._read(url)

    async def _open(self, url: str) -> str:
        self._asks(url)
        within = aiohttp.ClientTimeout(total=self.patience)
        async with self._http.get(url, timeout=within) as answer:
            said = await answer.json(content_type=None)
        if said["error"] is not None:
            raise PlaybackFailed(said["error"])
        self.session = said["response"]
        return str(self.session["playback_url"])

    async def _read(self, url: str) -> str:
        began = time.monotonic()
        for _ in range(_REDIRECTED_MOST + 1):
            self._asks(url)
            async with asyncio.timeout(self.patience):
                answer = await self._http.get(url, allow_redirects=False)
            async with answer:
                if answer.status == 302:
                    self.answered_after = self.answered_after or time.monotonic() - began
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status != 200:
                    raise PlaybackFailed(f"{answer.status} {await answer.text()}")
                self.place = url
                await self._take(answer)
                return "eof"
        raise PlaybackFailed(f"more than {_REDIRECTED_MOST} redirects")

    def _asks(self, url: str) -> None:
        self.asked.append(url)
        self._news.set()

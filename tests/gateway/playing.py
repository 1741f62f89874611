"""The gateway within the test, on a real port, with engines of its own: emulators that answer at
once unless they are told otherwise."""

import asyncio
import json
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from acekeeper import app
from acekeeper.api.context import Context
from acekeeper.core.model import Stream
from acekeeper.settings import load

from ..contract.serving import LIMIT_S, Serving, serving
from ..requirements.scrape import Scrape

ID = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"
GETSTREAM = f"/ace/getstream?id={ID}"
AS_JSON = f"{GETSTREAM}&format=json"
TICK_S = 0.011  # of the kernel's clock at its coarsest, which says since when a request waits


@dataclass(frozen=True)
class Reply:
    """`status` is 0 if the connection was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        assert self.status == 302, self
        return self.headers["location"]


@dataclass(frozen=True)
class Playing:
    port: int
    served: Serving
    leave: Callable[[], Coroutine[Any, Any, None]]
    connections: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def context(self) -> Context:
        return self.served.context

    @property
    def streams(self) -> list[Stream]:
        """Those that are open."""
        return [s for s in self.context.state.streams.values() if s.ended is None]

    async def get(
        self, target: str, *headers: str, method: str = "GET", host: str = "elsewhere.example"
    ) -> Reply:
        """Of a path of the gateway, or of a URL wherever it leads."""
        player = await Player.asking(self, target, *headers, method=method, host=host)
        return await player.reply()

    async def opened(self, target: str = AS_JSON) -> dict[str, Any]:
        answer = (await self.get(target)).json
        assert answer["error"] is None
        response: dict[str, Any] = answer["response"]
        return response

    async def sees_nobody(self) -> None:
        """No player waits, and no engine has a session for one."""
        await self.served.until(lambda: not self.context.state.plays)
        await self.served.until(lambda: not self.context.state.holds)

    async def asked(self, stream: Stream, count: int) -> None:
        """Waits until so many requests for its content came to its engine."""
        assert stream.slot
        assert stream.gateway
        infohash = stream.gateway.opening.infohash
        async with asyncio.timeout(LIMIT_S):
            while (await self.served.counters(stream.slot.port, infohash))["requests"] < count:
                await asyncio.sleep(0.01)

    async def sessions(self) -> int:
        """As the engines count them."""
        ports = [engine.slot.port for engine in self.context.state.engines.values()]
        return sum([(await self.served.counters(port))["sessions"] for port in ports])


def scrape(at: Playing) -> Scrape:
    return Scrape(b"".join(at.context.metrics.exposition()).decode())


def answers(at: Playing) -> dict[str, float]:
    """Those that came."""
    found = scrape(at).series("acekeeper_gateway_requests_total")
    return {series.labels["answer"]: series.value for series in found if series.value}


class Player:
    """A connection with a request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def asking(
        cls,
        playing: Playing,
        target: str,
        *headers: str,
        method: str = "GET",
        host: str = "elsewhere.example",
    ) -> "Player":
        port = playing.port
        if target.startswith("http://"):
            authority, _, path = target.removeprefix("http://").partition("/")
            port, target = int(authority.partition(":")[2]), f"/{path}"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        playing.connections.append(writer)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        return cls(reader, writer)

    async def reply(self) -> Reply:
        """All of it: not for a picture, which has no end."""
        async with asyncio.timeout(LIMIT_S):
            try:
                said = await self._reader.read()
            except ConnectionResetError:
                said = b""
        self.hang_up()
        if not said:
            return Reply(0, {}, b"")
        head, _, body = said.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return Reply(int(status.split()[1]), {name.lower(): value for name, value in pairs}, body)

    async def bytes(self, count: int) -> bytes:
        """The first of the answer, with its head."""
        return await asyncio.wait_for(self._reader.readexactly(count), LIMIT_S)

    def hang_up(self) -> None:
        self._writer.close()


_READER = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as picture:
    sys.stdout.buffer.write(picture.read(188))
    sys.stdout.flush()
    sys.stdin.read()
"""


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[None]:
    """In a process of its own: connections of ours are nobody's to the gateway."""
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _READER, url, stdin=PIPE, stdout=PIPE
    )
    assert reader.stdin
    assert reader.stdout
    try:
        assert (await asyncio.wait_for(reader.stdout.readexactly(188), LIMIT_S))[0] == 0x47
        yield
    finally:
        reader.stdin.close()
        await asyncio.wait_for(reader.wait(), LIMIT_S)


@asynccontextmanager
async def playing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engines: int = 2,
    allow_urls: bool = False,
    **numbers: float,
) -> AsyncIterator[Playing]:
    """`numbers` are rules."""
    count = str(engines)
    settings = {"MIN_REPLICAS": count, "MAX_REPLICAS": count, "AUTO_DELETE": "false"}
    async with serving(tmp_path, monkeypatch, settings, **numbers) as served:
        await served.until(lambda: len(served.listed()) == engines)
        given = load({"STATE_DIR": str(tmp_path), "GATEWAY_ALLOW_URLS": str(allow_urls).lower()})
        server = app.players(given, served.context)
        with socket.create_server(("127.0.0.1", 0)) as held:
            task = asyncio.create_task(server.serve([held]))

            async def leave() -> None:
                server.should_exit = True
                await asyncio.wait_for(asyncio.shield(task), LIMIT_S)

            at = Playing(held.getsockname()[1], served, leave)
            yield at
            for connection in at.connections:
                connection.close()
            await leave()

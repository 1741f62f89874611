"""Who follows the log: each reads on from where it is whenever something was put on disk, so that
nothing is queued for anybody, and a slow one holds up nobody else."""

import asyncio
from asyncio import Event, Task
from typing import Any

import msgspec
from litestar.exceptions import ServiceUnavailableException
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from acekeeper.api import bodies, wire
from acekeeper.core.inspection import Logged
from acekeeper.errors import StoreFailed
from acekeeper.server import CUT
from acekeeper.usecases.protocols import History

_MOST = 32
_AT_ONCE = 200
_PAUSE = 0.1  # a burst of commits is read in few steps
_KEEP_ALIVE = 15.0
_TAKEN_WITHIN = 30.0  # longer than this nobody is waited for; it can come back and go on
_LAST_WORD_WITHIN = 0.2
_RETRY_MS = 2000
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"connection", b"close"),
]


class Followers:
    """To be made on a running event loop."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.closed = Event()
        self._loop = asyncio.get_running_loop()
        self._woken: set[Event] = set()

    def committed(self, *_: object) -> None:
        """Something may be new on disk. From any thread."""
        self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """They are sent away: we are about to leave."""
        self.closed.set()

    def follow(self, last: int) -> ASGIResponse:
        if len(self._woken) >= _MOST:
            raise ServiceUnavailableException(
                f"{_MOST} follow the log already", headers={"Retry-After": "30"}
            )
        return _Following(self, last)

    def enter(self) -> Event:
        woken = Event()
        self._woken.add(woken)
        return woken

    def leave(self, woken: Event) -> None:
        self._woken.discard(woken)

    def _wake(self) -> None:
        for woken in self._woken:
            woken.set()


class _Following(ASGIResponse):
    def __init__(self, followers: Followers, last: int) -> None:
        super().__init__()
        self._followers = followers
        self._last = last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        woken = self._followers.enter()
        sending = asyncio.create_task(self._send_all(send, woken))
        gone = asyncio.create_task(bodies.until_hung_up(receive))
        closed = asyncio.create_task(self._followers.closed.wait())
        tasks: list[Task[object]] = [sending, gone, closed]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._followers.leave(woken)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not gone.cancelled():
            return
        if not sending.cancelled() and (error := sending.exception()) is not None:
            if isinstance(error, TimeoutError):
                await cut(scope, receive)
                return
            if not isinstance(error, StoreFailed):  # who comes back is told of that
                raise error
        try:
            async with asyncio.timeout(_LAST_WORD_WITHIN):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            await cut(scope, receive)

    async def _send_all(self, send: Send, woken: Event) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        # An event without data, which says where a client stands that hears of none.
        await _send(send, b"retry: %d\nid: %d\n\n" % (_RETRY_MS, self._last))
        while True:
            woken.clear()
            found = await self._followers.history.log_after(self._last, _AT_ONCE)
            if found:
                await _send(send, b"".join(map(_event, found)))
                self._last = found[-1].id
                await asyncio.sleep(0 if len(found) == _AT_ONCE else _PAUSE)
                continue
            try:
                async with asyncio.timeout(_KEEP_ALIVE):
                    await woken.wait()
            except TimeoutError:
                await _send(send, b":\n\n")


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(_TAKEN_WITHIN):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def cut(scope: Scope, receive: Receive) -> None:
    """What it did not take would hold its connection open, and our exit."""
    extensions: Any = scope.get("extensions")
    if extensions:
        extensions[CUT]()
        await bodies.until_hung_up(receive)


def _event(logged: Logged) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (logged.id, msgspec.json.encode(entry(logged)))


def entry(logged: Logged) -> wire.LogEntry:
    return wire.LogEntry(
        id=logged.id,
        ts=wire.moment(logged.wall),
        kind=logged.kind,
        engine=logged.engine.container_name if logged.engine else None,
        stream=logged.stream or None,
        data={name: value for name, value in logged.data.items() if value is not None},
    )

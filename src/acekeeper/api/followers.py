"""Who follows what happens, as server-sent events: each is served from a feed of its own that goes
on from where it is, so that nothing is queued for anybody, and a slow one holds up nobody else."""

import asyncio
from asyncio import Event, Task
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from litestar.exceptions import ServiceUnavailableException
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from acekeeper.errors import StoreFailed
from acekeeper.extensions import cut, until_hung_up

# Of a feed: what says that we live, and after how many seconds with nothing else to say.
ALIVE = b":\n\n"
KEEP_ALIVE = 15.0
RETRY = b"retry: 2000\n"

_MOST = 32
_TAKEN_WITHIN = 30.0  # longer than this nobody is waited for; it can come back and go on
_LAST_WORD_WITHIN = 0.2
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"connection", b"close"),
]


# Given the event that is set when something may be new on disk. Its messages are whole.
Feed = Callable[[Event], AsyncGenerator[bytes, None]]


class Followers:
    """To be made on a running event loop."""

    def __init__(self) -> None:
        self.closed = Event()
        self._loop = asyncio.get_running_loop()
        self._woken: set[Event] = set()

    def committed(self, *_: object) -> None:
        """Something may be new on disk. From any thread."""
        if self._woken:  # who enters now reads what is on disk by then
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """They are sent away: we are about to leave."""
        self.closed.set()

    def follow(self, feed: Feed) -> ASGIResponse:
        if len(self._woken) >= _MOST:
            raise ServiceUnavailableException(
                f"{_MOST} follow the log or the panel already", headers={"Retry-After": "30"}
            )
        return _Following(self, feed)

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
    def __init__(self, followers: Followers, feed: Feed) -> None:
        super().__init__()
        self._followers = followers
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        woken = self._followers.enter()
        sending = asyncio.create_task(self._send_all(send, woken))
        gone = asyncio.create_task(until_hung_up(receive))
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
        async with aclosing(self._feed(woken)) as messages:
            async for message in messages:
                async with asyncio.timeout(_TAKEN_WITHIN):
                    await send({"type": "http.response.body", "body": message, "more_body": True})

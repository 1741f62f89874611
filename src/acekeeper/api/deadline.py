"""No request takes longer than the settings allow."""

import asyncio
from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ServiceUnavailableException
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send
from loguru import logger

from acekeeper.api.context import BEGUN, Prepared
from acekeeper.deadlines import Deadlines
from acekeeper.extensions import cut

# What a route may have in its `opt`:
LONG = "long"  # it may take the longer time
ENDLESS = "endless"  # its answer ends when its caller leaves


def deadline(
    app: ASGIApp,
    ordinary: Deadlines[asyncio.Timeout],
    long: Deadlines[asyncio.Timeout],
    failed: Callable[[str, str], None],
) -> ASGIApp:
    """By API_REQUEST_TIMEOUT_S, and API_LONG_OPERATION_TIMEOUT_S for what is `LONG`."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or ENDLESS in scope["route_handler"].opt:
            await app(scope, receive, send)
            return
        name, deadlines = "API_REQUEST_TIMEOUT_S", ordinary
        if LONG in scope["route_handler"].opt:
            name, deadlines = "API_LONG_OPERATION_TIMEOUT_S", long
        request = _Request(receive, send)
        timer = asyncio.timeout(0 if _is_late(scope["state"].get(BEGUN)) else None)
        try:
            async with timer:
                deadlines.add(timer)
                try:
                    await app(scope, request.receive, request.send)
                finally:
                    deadlines.discard(timer)
        except TimeoutError:
            if not timer.expired():
                raise
            failed("api", "timeout")
            ran_out = f"the {deadlines.seconds:g} s of {name}"
            logger.warning("request_timed_out", route=scope["path_template"], ran_out=ran_out)
            if request.is_answered:  # in part
                await cut(scope, receive)
                return
            if request.is_coming:
                raise HTTPException(
                    status_code=408,
                    detail=f"the body did not come within {ran_out}",
                    headers={"Connection": "close"},
                ) from None
            raise ServiceUnavailableException(
                f"not done within {ran_out}", headers={"Retry-After": "2"}
            ) from None

    return bounded


def all_within(seconds: float) -> Deadlines[asyncio.Timeout]:
    return Deadlines(seconds, lambda timer: timer.reschedule(0))  # which is past


def _is_late(begun: Prepared | None) -> bool:
    """The edge waited for it as long as may be."""
    return begun is not None and begun.durable is not None and not begun.durable.done()


class _Request:
    """How far it has got: whom we waited for when the time ran out."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_whole = False
        self.is_coming = False
        self.is_answered = False

    async def receive(self) -> ReceiveMessage:
        self.is_coming = not self._is_whole
        message = await self._receive()
        self.is_coming = False
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        self.is_answered = True
        await self._send(message)

"""No request takes longer than the settings allow."""

import asyncio

from litestar.enums import ScopeType
from litestar.exceptions import ServiceUnavailableException
from litestar.types import ASGIApp, Receive, Scope, Send

LONG = "long"  # a route whose `opt` has it may take the longer time


def deadline(app: ASGIApp, ordinary: float, long: float) -> ASGIApp:
    """Seconds: API_REQUEST_TIMEOUT_S, and API_LONG_OPERATION_TIMEOUT_S for what is `LONG`."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        name, seconds = "API_REQUEST_TIMEOUT_S", ordinary
        if LONG in scope["route_handler"].opt:
            name, seconds = "API_LONG_OPERATION_TIMEOUT_S", long
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                await app(scope, receive, send)
        except TimeoutError:
            if not timer.expired():
                raise
            raise ServiceUnavailableException(
                f"not done within the {seconds:g} s of {name}", headers={"Retry-After": "2"}
            ) from None

    return bounded

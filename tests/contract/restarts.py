"""Restarts of a service whose sockets outlive it, as systemd's do, and what they cost callers."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from ..running import HAND_OVER
from .service import LIMIT_S, Service

_CALLS = ("/engines", "/streams?status=started", "/orchestrator/status", "/health/ready")


@contextmanager
def held(running: Service) -> Iterator[dict[str, Any]]:
    """What the service is started with."""
    with (
        socket.create_server(("127.0.0.1", running.port), backlog=512) as api,
        socket.create_server(("127.0.0.1", running.gateway_port), backlog=512) as players,
    ):
        numbers = api.fileno(), players.fileno()
        hand_over = [sys.executable, "-ISc", HAND_OVER, "api:gateway", ":".join(map(str, numbers))]
        running.command = [*hand_over, *map(str, running.command)]
        yield {"pass_fds": numbers}


@asynccontextmanager
async def calling(running: Service) -> AsyncIterator[list[float]]:
    """A caller of the API asks one thing after another: the seconds that each took. A call that is
    not answered, or not with 200, fails the test; the last one began inside."""
    took: list[float] = []
    is_over = False

    async def call() -> None:
        while not is_over:
            began = time.monotonic()
            answer = await running.call("GET", _CALLS[len(took) % len(_CALLS)], within=LIMIT_S)
            assert answer.status == 200, answer
            took.append(time.monotonic() - began)

    caller = asyncio.create_task(call())
    try:
        yield took
    finally:
        is_over = True
        await caller

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from acekeeper.adapters.processes import stop_all
from acekeeper.adapters.vpn_processes import stop_vpns
from acekeeper.api.context import Context
from acekeeper.app import api, service
from acekeeper.settings import Settings, load

from ..ports import engine_ports
from ..running import LIMIT_S

BASE = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Served:
    """The whole service but for its sockets: what is asked here goes the way of real requests."""

    client: httpx.AsyncClient
    context: Context
    settings: Settings
    environ: dict[str, str]
    stop: Callable[[], Awaitable[None]]  # its engines go on

    async def post(self, path: str, body: object = None, **more: Any) -> httpx.Response:
        return await self.client.post(path, json=body, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def outside(self, url: str) -> Any:
        """What an engine answers."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(url)).json()

    async def until(self, holds: Callable[["Served"], object]) -> None:
        """Waits for what the service does by itself; every turn lets its loop go on."""
        async with asyncio.timeout(LIMIT_S):
            while not holds(self):
                await asyncio.sleep(0.01)


Serve = Callable[..., Any]


@asynccontextmanager
async def starting(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a service with these settings; without engines unless they say otherwise."""
    async with AsyncExitStack() as stack:

        async def start(only_loopback: bool = True, **given: str) -> Served:
            environ = {
                "STATE_DIR": str(tmp_path / "state"),
                "MIN_REPLICAS": "0",
                "MAX_REPLICAS": "3",
                "MIN_PROVISION_INTERVAL_S": "0",
                "ENGINE_COMMAND": "{python} -m acekeeper.emulator --http-port {http_port}"
                " --start-delay 0",
                **engine_ports(3),
                **given,
            }
            settings = load(environ)
            stack.callback(stop_vpns, settings.state_dir)
            stack.callback(stop_all, settings.state_dir)
            run = await stack.enter_async_context(AsyncExitStack())
            context = await run.enter_async_context(service(settings, int))
            app: Any = api(settings, context, only_loopback, lambda: False)
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url=BASE)
            await run.enter_async_context(client)
            return Served(client, context, settings, environ, run.aclose)

        yield start


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    async with starting(tmp_path) as start:
        yield start


@pytest.fixture
async def served(serve: Serve) -> Served:
    started: Served = await serve()
    return started

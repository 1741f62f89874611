"""The service within the test, on a real port: for what would take minutes by its own numbers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from acekeeper import app
from acekeeper.adapters.processes import stop_all
from acekeeper.api.context import Context
from acekeeper.rules import rules_of
from acekeeper.server import Server
from acekeeper.settings import load

from ..ports import engine_ports

LIMIT_S = 60.0


@dataclass(frozen=True)
class Serving:
    base: str
    context: Context
    first_port: int
    first_admin: int

    def listed(self) -> set[int]:
        return {e.slot.port for e in self.context.state.engines.values() if e.listed}

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                await asyncio.sleep(0.01)

    async def fault(self, port: int, kind: str, content: str | None = None, **more: float) -> None:
        """Of one content, or of all."""
        of = {} if content is None else {"content": content}
        await self._admin("POST", port, "/faults", {"kind": kind, **of, **more})

    async def clear(self, port: int, kind: str = "") -> None:
        """One fault, or all."""
        path = f"/faults/{kind}" if kind else "/faults"
        await self._admin("DELETE", port, path, None)

    async def crash(self, port: int) -> None:
        await self._admin("POST", port, "/crash", {"signal": "SIGKILL"})

    async def lose_sessions(self, port: int) -> None:
        await self._admin("POST", port, "/lose-sessions", {})

    async def counters(self, port: int, content: str | None = None) -> dict[str, int]:
        """Of one content, or of all."""
        path = "/counters" if content is None else f"/counters/{content}"
        counters: dict[str, int] = await self._admin("GET", port, path, None)
        return counters

    async def _admin(self, method: str, port: int, path: str, body: object) -> Any:
        url = f"http://127.0.0.1:{port - self.first_port + self.first_admin}{path}"
        async with aiohttp.ClientSession() as http, http.request(method, url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@asynccontextmanager
async def serving(
    state: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], **numbers: float
) -> AsyncIterator[Serving]:
    """With engines of its own that answer at once; `numbers` are rules no setting has."""
    count = int(settings["MAX_REPLICAS"])
    ports = engine_ports(count)
    given = load(
        {
            "STATE_DIR": str(state),
            "MIN_PROVISION_INTERVAL_S": "0",
            "MAX_CONCURRENT_PROVISIONS": str(count),
            "ENGINE_COMMAND": "{python} -m acekeeper.emulator --http-port {http_port}"
            " --admin-port {api_port} --start-delay 0",
            **ports,
            **settings,
        }
    )
    rules = replace(rules_of(given), **numbers)
    monkeypatch.setattr(app, "rules_of", lambda _: rules)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        try:
            async with app.service(given, int) as context:
                edge = app.api(given, context, True, lambda: False)
                leaving = context.followers.close
                within = given.api_request_timeout_s
                server = Server(edge, lambda: None, edge.unheard, within, leaving)
                task = asyncio.create_task(server.serve([listening]))
                yield Serving(
                    base=f"http://127.0.0.1:{listening.getsockname()[1]}",
                    context=context,
                    first_port=given.port_range_host[0],
                    first_admin=given.engine_api_base,
                )
                server.should_exit = True
                await task
        finally:
            stop_all(given.state_dir)

"""Some minutes as an evening has them: viewers of the client and players of the gateway come and
go, and engines go wrong."""

import asyncio
import sys
import time
from asyncio import Task
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random

import aiohttp

from ..chaos import start_engine
from ..contract.client import CallFailed, Client, ProvisionRefused
from ..contract.picture import PlaybackFailed
from ..contract.service import Service
from ..contract.viewer import Viewer

ENGINES = 12  # fewer than would be wanted at times
SETTINGS: dict[str, object] = {
    "MIN_REPLICAS": 1,
    "MAX_CONCURRENT_PROVISIONS": 3,
    "HEALTH_CHECK_INTERVAL_S": 3,
    "MONITOR_INTERVAL_S": 3,
    "AUTOSCALE_INTERVAL_S": 5,
    "HEALTH_UNHEALTHY_GRACE_PERIOD_S": 10,
    "HEALTH_REPLACEMENT_COOLDOWN_S": 10,
    "ENGINE_GRACE_PERIOD_S": 15,
    "CIRCUIT_BREAKER_THRESHOLD": 3,
    "CIRCUIT_BREAKER_TIMEOUT_S": 12,
}
_STAY_S = (20.0, 120.0)
_LOST = (CallFailed, ProvisionRefused, PlaybackFailed, aiohttp.ClientError, AssertionError)


class Evening:
    """`minutes` of it, after which the viewers who are there stay until `leave`."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._rng = Random(seed)
        self._behaviour = directory / "behaviour"
        self._starts_well()
        program = [sys.executable, start_engine.__file__, self._behaviour]
        command = " ".join([*map(str, program), "{http_port}", "{api_port}"])
        self.service = Service(
            directory / "state", SETTINGS | {"ENGINE_COMMAND": command}, ENGINES, start_delay=0
        )
        self._stack = AsyncExitStack()
        self._viewers: set[Task[None]] = set()

    async def begin(self) -> None:
        await self.service.start(engines=1)
        self._client = await self._stack.enter_async_context(Client(self.service.base))

    async def last(self, minutes: float) -> None:
        """What goes wrong, and at which share of the time."""
        deeds: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.2, self._an_engine_is_killed),
            (0.35, self._the_image_breaks),
            (0.5, self._the_image_is_mended),
            (0.6, self._an_engine_hangs),
            (0.75, self._an_engine_forgets),
            (0.85, self._an_engine_is_killed),
            (0.96, self._an_engine_hangs),
            (0.97, self._an_engine_is_drained),
        ]
        began = time.monotonic()
        while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
            while deeds and deeds[0][0] <= share:
                with suppress(*_LOST):  # an engine may be gone by then
                    await deeds.pop(0)[1]()
            self._starts_well(only_slower=True)
            # Fewer come between two films.
            if len(self._viewers) < (3 if 0.55 < share < 0.75 else 12):
                comes = self._rng.choice((self._watch, self._play))
                viewer = asyncio.create_task(comes(f"{self._rng.getrandbits(160):040x}"))
                self._viewers.add(viewer)
                viewer.add_done_callback(self._viewers.discard)
            await self._client.poll_status()
            await asyncio.sleep(self._rng.uniform(0.5, 4))

    async def leave(self) -> None:
        for task in self._viewers:
            task.cancel()
        await asyncio.gather(*self._viewers, return_exceptions=True)
        await self._stack.aclose()
        self.service.end()

    async def _play(self, content: str) -> None:
        """From one of the addresses of this host, as if it were a television's."""
        source = aiohttp.TCPConnector(local_addr=(f"127.0.0.{self._rng.randint(2, 9)}", 0))
        url = f"http://127.0.0.1:{self.service.gateway_port}/ace/getstream?id={content}"
        async with aiohttp.ClientSession(connector=source) as http:
            with suppress(*_LOST, TimeoutError):
                async with (
                    asyncio.timeout(self._rng.uniform(*_STAY_S)),
                    http.get(url, raise_for_status=True) as picture,
                ):
                    async for _ in picture.content.iter_any():
                        pass

    async def _watch(self, content: str) -> None:
        async with Viewer(self._client, content) as viewer:
            with suppress(*_LOST):
                await viewer.begin()
                with suppress(TimeoutError):
                    await asyncio.wait_for(viewer.ended(), self._rng.uniform(*_STAY_S))
                silent = viewer.reason == "timeout"
                await viewer.leave("timeout" if silent else "client_disconnected")

    async def _an_engine_is_killed(self) -> None:
        await self.service.crash(await self._playing())

    async def _an_engine_hangs(self) -> None:
        await self.service.fault(await self._playing(), "hang")

    async def _an_engine_forgets(self) -> None:
        await self.service.lose_sessions(await self._playing())

    async def _an_engine_is_drained(self) -> None:
        [*_, last] = await self.service.get("/engines")
        await self.service.call("POST", f"/engines/{last['container_id']}/drain")

    async def _the_image_breaks(self) -> None:
        self._behaviour.write_text("exit 2")
        await self.service.crash(await self._playing())

    async def _the_image_is_mended(self) -> None:
        self._behaviour.unlink()
        self._starts_well()

    def _starts_well(self, only_slower: bool = False) -> None:
        """No two starts take equally long."""
        if only_slower and self._behaviour.read_text().startswith("exit"):
            return
        delay = self._rng.uniform(2, 6)
        self._behaviour.write_text(f"--start-delay {delay:.1f}")

    async def _playing(self) -> int:
        streams = await self.service.get("/streams?status=started")
        engines = {e["container_id"]: e["port"] for e in await self.service.get("/engines")}
        ports = [engines[s["container_id"]] for s in streams if s["container_id"] in engines]
        chosen: int = self._rng.choice(ports or [*engines.values()])
        return chosen

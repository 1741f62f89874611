"""Viewers who come and go as they please, whose client loses, doubles and delays its events; and
players of the gateway, which tell nothing."""

import asyncio
import time
from asyncio import Event, Task
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import aiohttp

from ..contract.client import CallFailed, Client, ProvisionRefused, Waits
from ..contract.picture import PlaybackFailed
from ..contract.shapes import Provisioned
from ..contract.viewer import Viewer
from .books import Books, Kind, Promises
from .players import Players

_REASONS = ["client_disconnected", "eof", "timeout", "empty_timeout", "completed"]


class LossyClient(Client):
    def __init__(self, base: str, rng: Random, audience: "Audience") -> None:
        super().__init__(base, waits=Waits(after_provision=0))
        self._rng = rng
        self._audience = audience

    async def event(self, path: str, event: Any) -> bool:
        kind = Kind.STARTED if path.endswith("started") else Kind.ENDED
        if kind is Kind.STARTED:
            stream = event["labels"]["stream_id"]
            self._audience.stat_urls[stream] = event["session"]["stat_url"]
        else:
            stream = event["stream_id"]
        draw = self._rng.random()
        if draw < 0.08:
            self._audience.counts["lost"] += 1
            return False
        if draw < 0.2:
            self._audience.counts["late"] += 1
            self._audience.spawn(self._later(self._rng.uniform(0, 3), path, event, kind, stream))
            return False
        told = self._tell(path, event, kind, stream)
        if draw < 0.35:
            self._audience.counts["doubled"] += 1
            return all(await asyncio.gather(told, self._tell(path, event, kind, stream)))
        return await told

    async def provision(self) -> Provisioned:
        engine = await super().provision()
        self._audience.promises.made(engine.container_id, time.time())
        self._audience.counts["promised"] += 1
        return engine

    async def _later(self, pause: float, path: str, event: Any, kind: Kind, stream: str) -> None:
        await asyncio.sleep(pause)
        await self._tell(path, event, kind, stream)

    async def _tell(self, path: str, event: Any, kind: Kind, stream: str) -> bool:
        books = self._audience.books
        books.sent(kind, stream)
        acknowledged = await super().event(path, event)
        if acknowledged:
            books.was_acknowledged(kind, stream)
        return acknowledged


class Audience:
    """Two clients with some viewers each, and as many players of the gateway as viewers of one.
    What they were promised and told is written down."""

    def __init__(self, base: str, gateway: str, seed: int, viewers: int) -> None:
        self.books = Books()
        self.counts: Counter[str] = Counter()
        self.stat_urls: dict[str, str] = {}  # by stream, those of lost events too
        self.promises = Promises()
        self.over = Event()
        self._base = base
        self._seed = seed
        self._viewers = viewers
        self._stack = AsyncExitStack()
        self.players = Players(gateway, self.over, self.counts, self._stack)
        self._tasks: set[Task[None]] = set()

    async def come(self) -> None:
        for c in range(2):
            rng = Random(f"{self._seed}-client-{c}")
            client = await self._stack.enter_async_context(LossyClient(self._base, rng, self))
            client.can_provision = True  # what it believes before its first word from acekeeper
            self.spawn(self._poll(client))
            for n in range(self._viewers // 2):
                self.spawn(self._watch(client, Random(f"{self._seed}-viewer-{c}-{n}")))
        for n in range(self._viewers // 2):
            self.spawn(self.players.come(Random(f"{self._seed}-player-{n}"), n))

    async def settle(self) -> None:
        """No more come; some stay. Every event that was late has been sent after this."""
        self.over.set()
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def leave(self) -> None:
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: Task[None]) -> None:
        """One that failed stays, for `settle` to raise what it raised."""
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    async def _poll(self, client: Client) -> None:
        while not self.over.is_set():
            await client.poll_status()
            await self._pause(1)

    async def _watch(self, client: Client, rng: Random) -> None:
        while not self.over.is_set():
            async with AsyncExitStack() as stack:
                viewer = Viewer(client, f"{rng.getrandbits(160):040x}")
                await stack.enter_async_context(viewer)
                try:
                    await viewer.begin()
                except (CallFailed, ProvisionRefused, PlaybackFailed):
                    self.counts["not viewed"] += 1
                    await self._pause(rng.uniform(0.1, 0.5))
                    continue
                self.counts["viewers"] += 1
                await self._until_it_ends(viewer, rng.expovariate(0.5))
                draw = rng.random()
                if self.over.is_set() and viewer.plays and draw < 0.7:
                    self._stack.push_async_exit(stack.pop_all())
                elif draw < 0.9:
                    await viewer.leave(rng.choice(_REASONS))
                else:
                    self.counts["vanished"] += 1

    async def _until_it_ends(self, viewer: Viewer, at_most: float) -> None:
        try:
            await asyncio.wait_for(viewer.ended(), at_most)
        except (aiohttp.ClientError, TimeoutError):
            return

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
        except TimeoutError:
            return

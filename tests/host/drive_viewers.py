"""Runs on a host, beside acekeeper: the client of the contract tests, told line by line what to do.

    drive_viewers.py BASE [KEY]

Answers each line of its input with a line of JSON.
"""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio import Task
from typing import Any

from tests.contract.client import CallFailed, Client, ProvisionRefused, Waits
from tests.contract.picture import PlaybackFailed
from tests.contract.told import obey
from tests.contract.viewer import Viewer

FIRST_BYTES = 1 << 20
SOME_BYTES = 64 << 10
PATIENCE = 30.0  # so that what fails does so by itself, however slow the machine is


class Load:
    """Clients that read and post with a pause or none; what failed, and the longest wait."""

    def __init__(self, client: Client, clients: int, pause: float) -> None:
        self.calls = 0
        self.failed: list[str] = []
        self.longest = 0.0
        self.acknowledged: list[str] = []
        self._client = client
        self._pause = pause
        self._goes_on = True
        self._tasks = [asyncio.create_task(self._run(n)) for n in range(clients)]

    async def stop(self) -> dict[str, Any]:
        self._goes_on = False
        await asyncio.gather(*self._tasks)
        return {"calls": self.calls, "failed": self.failed, "longest": round(self.longest, 3)}

    async def _run(self, number: int) -> None:
        while self._goes_on:
            began = time.monotonic()
            stream_id = f"load-{os.getpid()}-{number}-{self.calls}"
            try:
                await self._client.read_engines()
                if await self._client.event("/events/stream_started", _started(stream_id)):
                    self.acknowledged.append(stream_id)
                else:
                    self.failed.append(f"event {stream_id}")
            except CallFailed as error:
                self.failed.append(str(error))
            self.calls += 2
            self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(self._pause)


class Driver:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.viewers: list[Viewer] = []
        self.load: Load | None = None
        self.watch: Task[float] | None = None

    async def do(self, word: str, *rest: str) -> Any:
        match word, rest:
            case "begin", (count,):
                return await self.begin(int(count))
            case "wait_in_vain", (count,):
                return await self.wait_in_vain(int(count))
            case "playing", ():
                return await asyncio.gather(*map(self.playing, self.viewers))
            case "leave", ():
                return await self.leave()
            case "get", (path,):
                _, body = await self.client._call("GET", path)
                return json.loads(body)
            case "post", (path,):
                code, body = await self.client._call("POST", path)
                return {"code": code, "body": json.loads(body)}
            case "provision", (port,):
                began = time.monotonic()
                wanted = {"host_port": int(port)}
                _, body = await self.client._call("POST", "/provision/acestream", wanted)
                return json.loads(body) | {"began": began}
            case "callers", (count,):
                return await asyncio.gather(*(self.served() for _ in range(int(count))))
            case "kill", (pid, container_id):
                began = time.monotonic()
                os.kill(int(pid), signal.SIGKILL)
                return await self.until_unlisted(container_id) - began
            case "watch", (container_id,):
                self.watch = asyncio.create_task(self.until_unlisted(container_id))
                return None
            case "unlisted", () if self.watch:
                return await self.watch
            case "load", (clients, *pause):
                self.load = Load(self.client, int(clients), float(pause[0]) if pause else 0)
                return None
            case "unload", () if self.load:
                acknowledged = self.load.acknowledged
                report = await self.load.stop()
                there = {s["id"] for s in await self.do("get", "/streams?status=started")}
                for stream_id in acknowledged:
                    await self.client.event("/events/stream_ended", {"stream_id": stream_id})
                return report | {"lost": sorted(set(acknowledged) - there)}
        raise ValueError(f"what is {word} {rest}?")

    async def begin(self, count: int) -> list[dict[str, Any]]:
        begun = []
        for _ in range(count):
            viewer = await self.come()
            await viewer.takes(FIRST_BYTES)
            begun.append({"port": viewer.address.port, "stream": viewer.stream_id})
        return begun

    async def come(self) -> Viewer:
        """One after the other, as viewers do; each with a programme of its own."""
        viewer = Viewer(self.client, f"{time.time_ns():040x}")
        self.viewers.append(viewer)
        self.client._engines_until = 0.0  # viewers come more than 2 s apart
        await viewer.begin()
        return viewer

    async def wait_in_vain(self, count: int) -> None:
        """Until the client has given them all up."""
        for _ in range(count):
            await self.come()
        reasons = {await viewer.ended() for viewer in self.viewers}
        if reasons != {"timeout"}:
            raise PlaybackFailed(f"they ended with {reasons}")
        await self.leave("timeout")

    async def playing(self, viewer: Viewer) -> bool:
        try:
            await viewer.takes(SOME_BYTES)
        except PlaybackFailed:
            return False
        return True

    async def leave(self, reason: str = "client_disconnected") -> list[bool]:
        """Whether each one's end was acknowledged."""
        viewers, self.viewers = self.viewers, []
        for viewer in viewers:
            await viewer.leave(reason)
            await viewer.__aexit__(None, None, None)
        return [viewer.end_acknowledged for viewer in viewers]

    async def served(self) -> dict[str, Any]:
        """One who comes back as a refusal tells; the engine it got, and when."""
        began = time.monotonic()
        while True:
            try:
                engine = await self.client.provision()
            except ProvisionRefused as error:
                await asyncio.sleep(error.refusal.recovery_eta_seconds or 1)
            else:
                return {"id": engine.container_id, "waited": time.monotonic() - began}

    async def until_unlisted(self, container_id: str) -> float:
        """The time on the machine's monotonic clock."""
        while any(e.container_id == container_id for e in await self.client.read_engines()):
            pass
        return time.monotonic()


def _started(stream_id: str) -> dict[str, Any]:
    """On an engine that is nobody's, so that nobody asks it."""
    url = "http://127.0.0.1:9/ace/stat/x/y"
    return {
        "engine": {"host": "127.0.0.1", "port": 9},
        "stream": {"key_type": "infohash", "key": stream_id},
        "session": {
            "playback_session_id": stream_id,
            "stat_url": url,
            "command_url": url,
            "is_live": 1,
        },
        "labels": {"stream_id": stream_id},
    }


async def main(base: str, key: str = "") -> None:
    async with Client(base, key, Waits(patience=PATIENCE)) as client:
        await obey(Driver(client).do, (CallFailed, ProvisionRefused, PlaybackFailed, TimeoutError))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Runs on a host, beside acekeeper: players of the gateway, told line by line what to do.

    drive_players.py GATEWAY

Answers each line of its input with a line of JSON.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import aiohttp

from tests.contract.picture import PlaybackFailed
from tests.contract.player import Player
from tests.contract.told import LIMIT_S, obey

SOME_BYTES = 64 << 10
FAILURES = (aiohttp.ClientError, PlaybackFailed, TimeoutError)


class Reader:
    """A player that reads on for as long as it gets something."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.longest_silence = 0.0
        self._came = time.monotonic()
        self._first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._read())
        player.ask()

    async def plays(self) -> dict[str, Any]:
        """Waits for the first bytes."""
        await asyncio.wait((self._first, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not self._first.done():
            await self._task
        return self.engine | {"waited": round(self._first.result(), 3)}

    async def reads_on(self) -> dict[str, Any]:
        """Waits for more."""
        await self.player.takes(SOME_BYTES)
        return self.engine | {"silence": round(self.longest_silence, 3)}

    @property
    def engine(self) -> dict[str, Any]:
        return {"host": self.player.host, "port": self.player.port}

    async def ended(self) -> str:
        """What ended it."""
        try:
            await self._task
        except FAILURES as error:
            return f"{type(error).__name__}: {error}"
        return ""

    async def leave(self) -> None:
        """As a player does that says so."""
        await self._stop_reading()
        await self.player.leave()
        await self.player.__aexit__(None, None, None)

    async def hang_up(self) -> None:
        await self._stop_reading()
        await self.player.__aexit__(None, None, None)

    async def _stop_reading(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        await self.player.takes(1)
        heard = time.monotonic()
        self._first.set_result(heard - self._came)
        while True:
            await self.player.takes(1)
            self.longest_silence = max(self.longest_silence, time.monotonic() - heard)
            heard = time.monotonic()


class Crowd:
    """Players that come one after the other, `each` at a time in either form: they take some of
    the picture, and leave."""

    def __init__(self, gateway: str, each: int) -> None:
        self.plays = 0
        self.failed: list[str] = []
        self.longest = {"json": 0.0, "redirected": 0.0}  # wait for the first bytes
        self._more = asyncio.Condition()
        self._gateway = gateway
        self._goes_on = True
        self._tasks = [
            asyncio.create_task(self._run(form, n)) for n in range(each) for form in self.longest
        ]

    async def has_played(self, more: int) -> None:
        enough = self.plays + more
        async with self._more:
            await self._more.wait_for(lambda: self.plays >= enough)

    async def stop(self) -> dict[str, Any]:
        self._goes_on = False
        await asyncio.gather(*self._tasks)
        longest = {form: round(seconds, 3) for form, seconds in self.longest.items()}
        return {"plays": self.plays, "failed": self.failed, "longest": longest}

    async def _run(self, form: str, number: int) -> None:
        contents = _contents(f"crowd-{number}")
        while self._goes_on:
            async with _player(self._gateway, next(contents), form) as player:
                came = time.monotonic()
                try:
                    await player.begin()
                    self.longest[form] = max(self.longest[form], time.monotonic() - came)
                    await player.takes(SOME_BYTES)
                    await player.leave()
                except FAILURES as error:
                    after = time.monotonic() - came
                    self.failed.append(f"{form}, after {after:.1f} s: {error!r}")
            self.plays += 1
            async with self._more:
                self._more.notify_all()


class Driver:
    def __init__(self, gateway: str) -> None:
        self.gateway = gateway
        self.readers: dict[str, Reader] = {}
        self.crowd: Crowd | None = None

    async def do(self, word: str, *rest: str) -> Any:
        match word, rest:
            case "come", (form, *contents):
                for content in contents:
                    self.readers[content] = Reader(_player(self.gateway, content, form))
                return None
            case "plays", contents:
                return [await self.readers[content].plays() for content in contents]
            case "reads_on", contents:
                return [await self.readers[content].reads_on() for content in contents]
            case "told", (content,):
                player = self.readers[content].player
                return {"session": player.session, "asked": player.asked}
            case "ended", contents:
                return [await self.readers[content].ended() for content in contents]
            case "leave", contents:
                for content in contents or [*self.readers]:
                    await self.readers.pop(content).leave()
                return None
            case "crowd", (each,):
                self.crowd = Crowd(self.gateway, int(each))
                return None
            case "crowd_plays", (more,) if self.crowd:
                return await self.crowd.has_played(int(more))
            case "disperse", () if self.crowd:
                return await self.crowd.stop()
        raise ValueError(f"what is {word} {rest}?")


def _player(gateway: str, content: str, form: str) -> Player:
    player = Player(gateway, content, as_json=form == "json")
    player.patience = LIMIT_S  # what fails does so by itself, however slow the machine is
    return player


def _contents(seed: str) -> Iterator[str]:
    rng = Random(f"{seed}-{time.time_ns()}")
    while True:
        yield f"{rng.getrandbits(160):040x}"


async def main(gateway: str) -> None:
    driver = Driver(gateway)
    await obey(driver.do, FAILURES)
    for reader in driver.readers.values():
        await reader.hang_up()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

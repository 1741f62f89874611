"""Players of the gateway: some watch, some go from channel to channel, look twice, come in pairs,
or hang up in the middle of it."""

import asyncio
import time
from asyncio import Event
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import aiohttp

from ..contract.picture import PlaybackFailed
from ..contract.player import Player
from .list_player import ListPlayer
from .plays import Plays

_CHANNELS = 8  # that several may watch at once; all others are watched by one
_HOPS = 3  # getstream, the picture, its bytes
_WAYS = {"watch": 8, "zap": 3, "probe": 2, "pair": 3, "hang_up": 6}
_FAILS = (aiohttp.ClientError, PlaybackFailed, TimeoutError)


class Players:
    """Those that ask for JSON come from one address, as those behind a proxy do, and every other
    one from its own."""

    def __init__(
        self, gateway: str, over: Event, counts: Counter[str], keep: AsyncExitStack
    ) -> None:
        self.plays = Plays()
        self.staying: list[Player] = []
        self.contents: set[str] = set()  # that were asked for
        self._gateway = gateway
        self._over = over
        self._counts = counts
        self._keep = keep  # of those that stay
        self._here: set[Player] = set()

    async def come(self, rng: Random, number: int) -> None:
        while not self._over.is_set():
            (way,) = rng.choices(list(_WAYS), list(_WAYS.values()))
            await getattr(self, f"_{way}")(rng, number)

    def together(self) -> set[tuple[int, frozenset[str]]]:
        """Engines from which several read at this moment, and what."""
        readers: dict[int, set[str]] = {}
        for player in self._here:
            if player.plays and player.received and not isinstance(player, ListPlayer):
                readers.setdefault(player.port, set()).add(player.place)
        return {(port, frozenset(read)) for port, read in readers.items() if len(read) > 1}

    @asynccontextmanager
    async def proxied(self, count: int) -> AsyncIterator[list[Player]]:
        """Those, of so many, that play; all ask for JSON."""
        async with AsyncExitStack() as stack:
            players = [
                Player(self._gateway, f"{n + 1:036x}cafe", as_json=True) for n in range(count)
            ]
            for player in players:
                await stack.enter_async_context(self._here_is(player))
            began = await asyncio.gather(*map(self._begins, players))
            yield [player for player, plays in zip(players, began, strict=True) if plays]

    async def all_play(self, count: int) -> list[str]:
        """So many at once, each from an engine of its own, which they give back."""
        async with AsyncExitStack() as stack:
            players = [Player(self._gateway, f"{n:040x}", address=_own(n)) for n in range(count)]
            for player in players:
                await stack.enter_async_context(player)
            ends = await asyncio.gather(*map(_in_the_end, players), return_exceptions=True)
            wrong = [
                f"{end!r}: {p.asked}"
                for p, end in zip(players, ends, strict=True)
                if isinstance(end, BaseException)
            ]
            ports = sorted(player.port for player in players if player.plays)
            return wrong if len(set(ports)) == len(ports) else [*wrong, f"they share: {ports}"]

    async def _watch(self, rng: Random, number: int) -> None:
        await self._one(rng, self._player(rng, number, _channel(rng)))

    async def _pair(self, rng: Random, number: int) -> None:
        """Of one channel, a moment apart."""
        content, form = _channel(rng), rng.random()
        first, second = (self._player(rng, number + n, content, form) for n in (0, 100))
        await asyncio.gather(
            self._one(Random(rng.random()), first),
            self._one(Random(rng.random()), second, rng.uniform(0, 0.3)),
        )

    async def _zap(self, rng: Random, number: int) -> None:
        for _ in range(rng.randrange(2, 6)):
            async with self._here_is(
                Player(self._gateway, _channel(rng), address=_own(number))
            ) as player:
                if await self._begins(player):
                    await self._ends(player, rng.uniform(0, 1))
                    self._counts["zaps"] += 1

    async def _probe(self, rng: Random, number: int) -> None:
        """It looks what there is, and comes again at once to watch."""
        content, form = _channel(rng), rng.random()
        async with self._here_is(self._player(rng, number, content, form)) as player:
            await self._begins(player)
        await self._one(rng, self._player(rng, number, content, form))

    async def _hang_up(self, rng: Random, number: int) -> None:
        """While it waits for the n-th answer, or when it has its first bytes: a list is two answers
        away, a picture three."""
        async with self._here_is(self._player(rng, number, _channel(rng))) as player:
            player.ask()
            hops = rng.randrange(1, _HOPS + 1)
            taken = asyncio.create_task(player.takes(1))
            reached = asyncio.create_task(player.reaches(hops))
            await asyncio.wait((taken, reached), return_when=asyncio.FIRST_COMPLETED)
            await self._pause(rng.expovariate(10))
            taken.cancel()
            reached.cancel()
            await asyncio.gather(taken, reached, return_exceptions=True)
            self._counts[f"hung up at {len(player.asked)}"] += 1

    async def _one(self, rng: Random, player: Player, later: float = 0) -> None:
        """Half of those that ask for JSON do not stop their session."""
        async with AsyncExitStack() as stack:
            await self._pause(later)
            await stack.enter_async_context(self._here_is(player))
            if not await self._begins(player):
                await self._pause(rng.uniform(0.1, 0.5))
                return
            self._counts["lists" if isinstance(player, ListPlayer) else "players"] += 1
            await self._ends(player, rng.expovariate(0.5))
            if self._over.is_set() and player.plays and rng.random() < 0.7:
                self.staying.append(player)
                await self._keep.enter_async_context(stack.pop_all())
            elif rng.random() < 0.8:
                with suppress(aiohttp.ClientError, TimeoutError):
                    await player.leave()

    def _player(self, rng: Random, number: int, content: str, form: float | None = None) -> Player:
        draw = rng.random() if form is None else form
        kind = ListPlayer if draw < 0.3 else Player
        as_json = rng.random() < 0.5 if draw < 0.3 else draw < 0.65
        address = "127.0.0.1" if as_json else _own(number)
        return kind(self._gateway, content, as_json=as_json, address=address)

    @asynccontextmanager
    async def _here_is(self, player: Player) -> AsyncIterator[Player]:
        async with player:
            self._here.add(player)
            self.contents.add(player.content)
            try:
                yield player
            finally:
                self._here.discard(player)
                self.plays.given(player)

    async def _begins(self, player: Player) -> bool:
        since = time.monotonic()
        try:
            await player.begin()
        except _FAILS as error:
            self._counts[f"not played {self.plays.failed(player, error, since)}"] += 1
            return False
        return True

    async def _ends(self, player: Player, at_most: float) -> None:
        """Or it leaves."""
        since = time.monotonic()
        ended = asyncio.create_task(player.ended())
        await asyncio.wait((ended,), timeout=at_most)
        ended.cancel()
        (error,) = await asyncio.gather(ended, return_exceptions=True)
        if isinstance(player, ListPlayer) and isinstance(error, _FAILS):
            self._counts[f"list ended {self.plays.failed(player, error, since)}"] += 1

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


def _channel(rng: Random) -> str:
    number = rng.randrange(1, _CHANNELS) if rng.random() < 0.4 else rng.getrandbits(160)
    return f"{number:040x}"


def _own(number: int) -> str:
    return f"127.0.1.{number + 1}"


async def _in_the_end(player: Player) -> Player:
    """An engine that was given to a viewer of the API who never came rests for a minute; a player
    waits for 25 s."""
    for _ in range(2):
        with suppress(PlaybackFailed):
            return await player.begin()
    return await player.begin()

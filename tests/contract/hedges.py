"""Plays whose first engine hangs at getstream, while two others are free."""

from collections.abc import AsyncIterator
from functools import partial
from typing import NamedTuple

from acekeeper.emulator.content import infohash_of_content_id

from .player import Player
from .pool import KEPT, by_rest, channel
from .service import LIMIT_S, Service, eventually

ENGINES = 3
SETTINGS = {**KEPT, "MIN_REPLICAS": ENGINES, "MAX_REPLICAS": ENGINES}


class Hedged(NamedTuple):
    """`by_hedge`: the engine that hung was asked first, and another one opened the channel while
    that was still not answered. `after`: seconds, at the player."""

    by_hedge: bool
    after: float


def slots(plays: int) -> int:
    """Each of the engines that were asked in vain is replaced, and its port rests."""
    return ENGINES + 2 * plays


async def play_past_one_that_hangs(running: Service, plays: int) -> AsyncIterator[Hedged]:
    rest = await by_rest(running)  # the first is asked first
    for number in range(plays):
        hung = rest[0]
        await running.fault(hung, "hang_getstream")
        async with Player(running.gateway, channel(number), as_json=True) as player:
            await player.begin()
            line = (await running.logged("play_opened", number + 1))[-1]
            asked = await eventually(partial(_asked, running, rest, player.content, line["tries"]))
            is_by_hedge = line["won"] and hung in asked and player.port != hung
            yield Hedged(is_by_hedge, player.answered_after)
            await player.leave()
        kept = [port for port in rest if port not in asked]
        rest = await _replaced(running, asked - {player.port}, [*kept, player.port])


async def _asked(running: Service, ports: list[int], content: str, count: int) -> set[int]:
    """The engines that were asked for a content, as soon as they are so many."""
    infohash = infohash_of_content_id(content)
    found = {p for p in ports if (await running.counters(p, infohash))["requests"]}
    return found if len(found) == count else set()


async def _replaced(running: Service, in_vain: set[int], others: list[int]) -> list[int]:
    """The others, and then the engines that take the place of those asked in vain, in the order in
    which they are ready."""

    async def others_are_free() -> bool:
        return not any([await running.sessions(port) for port in others])

    async def all_are_free() -> bool:
        status = await running.get("/orchestrator/status")
        return bool(status["capacity"]["available"] == ENGINES)

    await eventually(others_are_free)
    before = len(running.log("engine_ready"))
    for engine in await running.get("/engines?include=all"):
        if engine["port"] in in_vain:
            path = f"/containers/{engine['container_id']}"
            answer = await running.call("DELETE", path, within=LIMIT_S)
            assert answer.status == 202, answer
    ready = await running.logged("engine_ready", before + len(in_vain))
    await eventually(all_are_free)
    return others + [int(line["engine"].rpartition("-")[2]) for line in ready[before:]]

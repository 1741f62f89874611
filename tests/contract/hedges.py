"""Plays whose first engine hangs at getstream, while two others are free."""

from collections.abc import AsyncIterator
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
    """The engine that hung is replaced, and its port rests."""
    return ENGINES + plays + 1


async def play_past_one_that_hangs(running: Service, plays: int) -> AsyncIterator[Hedged]:
    rest = await by_rest(running)
    for number in range(plays):
        hung = rest.pop(0)
        await running.fault(hung, "hang_getstream")
        async with Player(running.gateway, channel(number), as_json=True) as player:
            await player.begin()
            line = (await running.logged("play_opened", number + 1))[-1]
            asked = await running.counters(hung, infohash_of_content_id(player.content))
            is_first = line["tries"] == 2 and line["won"] and player.port != hung
            yield Hedged(is_first and asked["requests"] == 1, player.answered_after)
            await player.leave()
        rest.remove(player.port)
        rest.append(player.port)
        rest.append(await _replaced(running, hung, rest))


async def _replaced(running: Service, hung: int, others: list[int]) -> int:
    """The port of the engine that takes the place of one that hung. It is the last to be free."""

    async def all_others_are_free() -> bool:
        return all([not await running.sessions(port) for port in others])

    async def successor() -> int | None:
        status = await running.get("/orchestrator/status")
        if status["capacity"]["available"] < ENGINES:
            return None
        [port] = {e["port"] for e in await running.get("/engines")} - set(others)
        return int(port)

    await eventually(all_others_are_free)
    [name] = [
        e["container_id"] for e in await running.get("/engines?include=all") if e["port"] == hung
    ]
    answer = await running.call("DELETE", f"/containers/{name}", within=LIMIT_S)
    assert answer.status == 202, answer
    port = await eventually(successor)
    assert port
    return port

"""Nobody waits for long while players come, of a pool as large as it may be and all of it taken.
Counted in lines, as in the API's tests."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from acekeeper.core.gateway.model import Reader
from acekeeper.core.model import ByGateway, Opening
from acekeeper.core.names import HERE
from acekeeper.gateway.again import Leaving
from acekeeper.gateway.application import routes
from acekeeper.gateway.door import Door, Routes
from acekeeper.metrics import Metrics
from acekeeper.usecases.turns import gather_in_turns

from ..api.busy import ENGINES, Busy, busy, stream
from ..api.turns import AT_MOST, Turns, run
from ..core.world import slot

PLAYERS = 50

TS, HLS = f"{0:040x}/{0:040x}", f"{1:040x}/{1:040x}"
LOOKS = {
    "/ace/getstream": f"/ace/getstream?format=json&id={ENGINES:040x}",
    "/ace/manifest.m3u8": f"/ace/manifest.m3u8?id={ENGINES:040x}",
    "/ace/r/": f"/ace/r/{TS}",
    "/ace/m/": f"/ace/m/{HLS}.m3u8",
    "/ace/stat/": f"/ace/stat/{TS}",
    "/ace/cmd/": f"/ace/cmd/{TS}?method=stop",
    "/webui/api/service": "/webui/api/service?method=get_version",
    "/server/api": "/server/api?api_version=3&method=get_status",
}


def take(pool: Busy, engines: int) -> None:
    """So many engines have a session each. Nobody came for the picture of it."""
    now = pool.loop.clock()
    for n in range(engines):
        name = f"{n:040x}"
        opened = stream(n, 0, now, pool.state.engines[slot(n)])
        by = ByGateway(
            opening=Opening(name, name, "", is_live=True),
            player=HERE,
            arrival=HERE,
            as_json=True,
            is_hls=n % 2 == 1,
            query="",
        )
        mine = replace(opened, id=f"{name}|{name}", key=name, session=name, gateway=by)
        pool.state.put_stream(mine)
        since = now.mono
        pool.state.put_reader(mine.id, Reader(since, last=since, player=HERE))


async def ask(door: Any, target: str) -> int:
    """The status of the answer."""
    path, _, query = target.partition("?")
    told: list[Any] = []
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "client": (HERE, 50000),
        "server": (HERE, 6878),
    }
    await door(scope, receive, send)
    return int(told[0]["status"])


def players(pool: Busy) -> Routes:
    return routes(pool.loop, Metrics(pool.loop.clock), Leaving(), may_name_urls=False)


def longest(
    tmp_path: Path,
    taken: int,
    work: Callable[[Door], Coroutine[Any, Any, object]],
    waits: float = 60.0,
) -> int:
    """Lines of the longest turn while `work` is done, with so many engines that play."""

    async def measured(turns: Turns) -> int:
        async with busy(
            tmp_path,
            each=0,
            max_streams_per_engine=1,
            gateway_wait=waits,
            gateway_wait_redirected=waits,
        ) as pool:
            take(pool, taken)
            await turns.count(work(Door(players(pool), [])))
        return turns.longest

    return run(measured)


async def test_every_route_is_looked_at(tmp_path: Path) -> None:
    async with busy(tmp_path, engines=0) as pool:
        assert set(LOOKS) == set(players(pool))


@pytest.mark.parametrize("route", LOOKS)
def test_no_call_of_a_player_takes_a_long_turn(tmp_path: Path, route: str) -> None:
    async def call(door: Door) -> None:
        assert await ask(door, LOOKS[route]) in (200, 302)

    assert longest(tmp_path, ENGINES - 1, call) < AT_MOST


@pytest.mark.parametrize(
    ("taken", "call"),
    [
        (0, "getstream?"),
        (0, "getstream?format=json&"),
        (0, "manifest.m3u8?"),
        (ENGINES, "getstream?"),
        (ENGINES, "getstream?format=json&"),
        (ENGINES, "manifest.m3u8?"),
    ],
)
def test_players_that_come_together_take_no_long_turn(
    tmp_path: Path, taken: int, call: str
) -> None:
    async def play(door: Door) -> None:
        contents = range(ENGINES, ENGINES + PLAYERS)
        asked = (ask(door, f"/ace/{call}id={n:040x}") for n in contents)
        statuses = await gather_in_turns(asked, at_once=5)
        assert set(statuses) <= ({503} if taken else {200, 302})

    assert longest(tmp_path, taken, play, waits=1.0 if taken else 60.0) < AT_MOST

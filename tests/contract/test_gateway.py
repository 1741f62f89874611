"""Players that know one engine, `host:6878`, play from the pool, whatever its engines do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from ..acexy import Acexy
from .conftest import MakeService
from .player import NotPlayed, Player
from .service import NO_SWEEPS, Service, eventually, held

pytestmark = pytest.mark.timeout(300)

ENOUGH = 200_000  # bytes: more than any buffer on the way still holds
KEPT: dict[str, object] = {
    "AUTO_DELETE": "false",
    "MIN_PROVISION_INTERVAL_S": 0,
    "MAX_CONCURRENT_PROVISIONS": 24,
    **NO_SWEEPS,
}

Begin = Callable[..., Awaitable[Service]]
Watch = Callable[..., Player]


def channel(number: int) -> str:
    return f"{number:040x}"


@pytest.fixture
async def ready(service: MakeService) -> Begin:
    """A service whose engines, `engines` of them, are all ready; no other is started."""

    async def begin(engines: int, **settings: object) -> Service:
        count = {"MIN_REPLICAS": engines, "MAX_REPLICAS": engines}
        running = service({**KEPT, **count, **settings}, slots=engines)
        await running.start(engines=engines)
        return running

    return begin


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with AsyncExitStack() as stack:
        players: list[Player] = []

        def make(running: Service, content: int | str, *, as_json: bool = False) -> Player:
            key = channel(content) if isinstance(content, int) else content
            player = Player(running.gateway, key, as_json=as_json)
            players.append(player)
            return player

        yield make
        for player in players:
            await stack.enter_async_context(player)


async def nothing_is_left(running: Service) -> None:
    """No player waits, and no engine has a session: by the engines' own count."""

    async def is_empty() -> bool:
        ports = await running.get("/engines?include=all")
        counted = [(await running.counters(e["port"]))["sessions"] for e in ports]
        status = await running.get("/orchestrator/status")
        free = status["capacity"]["available"] == len(ports)
        return not any(counted) and free and not status["gateway"]["waiting"]

    await eventually(is_empty)


def by_rest(running: Service) -> list[int]:
    """The ports of the engines in the order in which players get them: the longest idle first."""
    return [int(line["engine"].rpartition("-")[2]) for line in running.log("engine_ready")]


def opened(running: Service) -> list[dict[str, Any]]:
    return running.log("play_opened")


@pytest.mark.parametrize("as_json", [False, True])
async def test_twenty_players_at_once_have_an_engine_each(
    ready: Begin, watch: Watch, *, as_json: bool
) -> None:
    running = await ready(20)
    players = [watch(running, n, as_json=as_json) for n in range(20)]
    await asyncio.gather(*(player.begin() for player in players))
    await asyncio.gather(*(player.takes(ENOUGH) for player in players))
    assert len({player.port for player in players}) == 20
    assert len({line["key"] for line in opened(running)}) == 20
    streams = await running.get("/streams?status=started")
    assert {s["via"] for s in streams} == {"gateway"}
    assert {s["player"] for s in streams} == {"127.0.0.1"}
    if as_json:
        await asyncio.gather(*(player.leave() for player in players))
        await nothing_is_left(running)


async def test_viewers_behind_the_plain_acexy_have_an_engine_for_each_channel(
    ready: Begin,
) -> None:
    running = await ready(3)
    async with (
        Acexy(f"127.0.0.1:{running.gateway_port}") as acexy,
        aiohttp.ClientSession() as http,
    ):
        views = [await http.get(f"{acexy.url}/ace/getstream?id={channel(n)}") for n in range(3)]
        for view in views:
            await view.content.readexactly(ENOUGH)
        streams = await running.get("/streams?status=started")
        assert len({stream["container_id"] for stream in streams}) == 3
        for view in views:
            view.close()
        await nothing_is_left(running)


async def test_two_viewers_of_one_channel_a_moment_apart_both_play(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(2)
    async with (
        Acexy(f"127.0.0.1:{running.gateway_port}") as acexy,
        aiohttp.ClientSession() as http,
    ):
        url = f"{acexy.url}/ace/getstream?id={channel(1)}"
        first = asyncio.create_task(http.get(url))
        await asyncio.sleep(0.1)
        views = [await first, await http.get(url)]
        for view in views:
            await view.content.readexactly(ENOUGH)
        for view in views:
            view.close()
        await nothing_is_left(running)
    players = [watch(running, 2), watch(running, 2)]
    await asyncio.gather(*(player.begin() for player in players))
    await asyncio.gather(*(player.takes(ENOUGH) for player in players))
    assert len({player.port for player in players}) == 2


@pytest.mark.parametrize("as_json", [False, True])
async def test_an_engine_that_hangs_at_getstream_costs_the_hedge(
    ready: Begin, watch: Watch, *, as_json: bool
) -> None:
    running = await ready(3, GATEWAY_HEDGE_S="0.5")
    hung = by_rest(running)[0]
    await running.fault(hung, "hang_getstream")
    player = watch(running, 1, as_json=as_json)
    await player.begin()
    await player.takes(ENOUGH)
    assert player.port != hung
    [line] = opened(running)
    assert line["tries"] == 2
    assert line["waited"] >= 0.5


async def test_with_one_free_engine_that_hangs_the_next_one_that_is_ready_plays(
    service: MakeService, watch: Watch
) -> None:
    running = service({**KEPT, "MIN_REPLICAS": 1, "MAX_REPLICAS": 3}, slots=3)
    await running.start(engines=1)
    await running.fault(by_rest(running)[0], "hang_getstream")
    player = watch(running, 1, as_json=True)
    await player.begin()
    assert player.port != by_rest(running)[0]


async def test_of_three_engines_the_one_that_does_not_hang_plays(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(3, GATEWAY_HEDGE_S="0.5")
    for port in by_rest(running)[:2]:
        await running.fault(port, "hang_getstream")
    player = watch(running, 1)
    await player.begin()
    assert player.port == by_rest(running)[2]
    assert opened(running)[0]["tries"] > 1


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_player_whose_picture_does_not_come_is_moved(
    ready: Begin, watch: Watch, *, as_json: bool
) -> None:
    running = await ready(2)
    await running.fault(by_rest(running)[0], "hang_read")
    player = watch(running, 1, as_json=as_json)
    await player.begin()
    await player.takes(ENOUGH)
    assert player.port == by_rest(running)[1]
    if as_json:
        assert (await player.stop())["response"] == "ok"
        await running.logged("stream_ended", 2)


@pytest.mark.parametrize("kind", ["load_fails", "crash_on_getstream"])
async def test_the_next_engine_plays_what_one_refuses_or_dies_of(
    ready: Begin, watch: Watch, kind: str
) -> None:
    running = await ready(2)
    await running.fault(by_rest(running)[0], kind)
    player = watch(running, 1)
    await player.begin()
    assert player.port == by_rest(running)[1]


async def test_an_engine_that_is_killed_right_after_its_answer_costs_no_more(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(2)
    player = watch(running, 1, as_json=True)
    await running.fault(by_rest(running)[0], "hang_read")
    player.ask()
    await running.logged("play_opened")
    await running.crash(by_rest(running)[0])
    await player.takes(ENOUGH)
    assert player.port == by_rest(running)[1]


async def test_a_player_is_answered_when_the_engine_that_starts_is_ready(
    service: MakeService, watch: Watch
) -> None:
    running = service({**KEPT, "MIN_REPLICAS": 0, "MAX_REPLICAS": 1}, slots=1, start_delay=2)
    await running.start()
    player = watch(running, 1, as_json=True)
    await player.begin()
    assert len(running.log("engine_ready")) == 1
    assert running.log("play_failed") == []


async def test_at_the_cap_a_player_waits_for_an_engine_that_is_given_back(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(1)
    first, second = watch(running, 1, as_json=True), watch(running, 2)
    await first.begin()
    await first.takes(ENOUGH)
    second.ask()

    async def waits() -> bool:
        return bool((await running.get("/orchestrator/status"))["gateway"]["waiting"])

    await eventually(waits)
    await first.leave()
    await second.takes(ENOUGH)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("phase", ["getstream", "hedge", "picture", "bytes"])
async def test_a_player_that_hangs_up_leaves_nothing_open(
    ready: Begin, watch: Watch, phase: str, *, as_json: bool
) -> None:
    running = await ready(2, GATEWAY_HEDGE_S="0.3", GATEWAY_IDLE_S="1", MONITOR_INTERVAL_S="0.5")
    faults = {"getstream": "slow_getstream", "hedge": "slow_getstream", "picture": "no_peers"}
    for port in running.slots:
        if phase in faults:
            await running.fault(port, faults[phase])
    player = watch(running, 1, as_json=as_json)
    player.ask()

    async def asked() -> bool:
        both = [await running.counters(port) for port in running.slots]
        return sum(c["requests"] for c in both) >= (2 if phase == "hedge" else 1)

    if phase in ("getstream", "hedge"):
        await eventually(asked)
    elif phase == "picture":
        await running.logged("play_opened")
    else:
        await player.takes(ENOUGH)
    await player.hang_up()
    await nothing_is_left(running)


async def test_a_stop_that_hangs_at_the_engine_is_answered_and_holds_up_nobody(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(2)
    first = watch(running, 1, as_json=True)
    await first.begin()
    await running.fault(first.port, "hang_stop")
    await first.hang_up()
    assert (await first.stop()) == {"response": "ok", "error": None}
    second = watch(running, 2, as_json=True)
    await second.begin()
    assert second.port != first.port


async def test_a_content_that_no_engine_can_load_is_refused_in_the_engines_words(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(3)
    for port in running.slots:
        await running.fault(port, "load_fails")
    with pytest.raises(NotPlayed, match="failed to load content"):
        await watch(running, 1, as_json=True).begin()
    with pytest.raises(NotPlayed, match="500"):
        await watch(running, 1).begin()


async def test_ten_that_wait_play_after_a_restart(service: MakeService, watch: Watch) -> None:
    """They are sent to ask again, and the socket that holds them outlives the service."""
    running = service({**KEPT, "MIN_REPLICAS": 0, "MAX_REPLICAS": 10}, slots=10, start_delay=3)
    with held(running) as popen:
        await running.start(**popen)
        players = [watch(running, n, as_json=n % 2 == 0) for n in range(10)]
        for player in players:
            player.ask()

        async def all_wait() -> bool:
            return bool((await running.get("/orchestrator/status"))["gateway"]["waiting"] == 10)

        await eventually(all_wait)
        assert await running.stop() == 0
        await running.start(**popen)
        await asyncio.gather(*(player.takes(ENOUGH) for player in players))

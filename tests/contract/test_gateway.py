"""Players that know one engine, `host:6878`, play from the pool, whatever its engines do."""

import asyncio
from functools import partial

import aiohttp
import pytest

from ..acexy import Acexy
from . import hedges
from .conftest import Begin, MakeService, Watch
from .picture import PlaybackFailed
from .pool import ENOUGH, KEPT, asked, by_rest, channel, only_these_are_left, waiting
from .service import eventually

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("as_json", [False, True])
async def test_twenty_players_at_once_have_an_engine_each(
    ready: Begin, watch: Watch, *, as_json: bool
) -> None:
    running = await ready(20)
    players = [watch(running, n, as_json=as_json) for n in range(20)]
    await asyncio.gather(*(player.begin() for player in players))
    await asyncio.gather(*(player.takes(ENOUGH) for player in players))
    assert len({player.port for player in players}) == 20
    opened = await running.logged("play_opened", 20)
    assert len({line["key"] for line in opened}) == 20
    streams = await running.get("/streams?status=started")
    assert {s["via"] for s in streams} == {"gateway"}
    assert {s["player"] for s in streams} == {"127.0.0.1"}
    if as_json:
        await asyncio.gather(*(player.leave() for player in players))
        await only_these_are_left(running)


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
        await only_these_are_left(running)


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
        await asked(running, channel(1), 3)  # it waits at `/content`
        views = [await first, await http.get(url)]
        for view in views:
            await view.content.readexactly(ENOUGH)
        for view in views:
            view.close()
        await only_these_are_left(running)
    players = [watch(running, 2), watch(running, 2)]
    await asyncio.gather(*(player.begin() for player in players))
    await asyncio.gather(*(player.takes(ENOUGH) for player in players))
    assert len({player.port for player in players}) == 2


async def test_an_engine_that_hangs_at_getstream_costs_the_hedge(
    service: MakeService,
) -> None:
    """A hundred times: the next engine serves the player while that one still says nothing."""

    async def play(plays: int) -> list[hedges.Hedged]:
        settings = {**hedges.SETTINGS, "GATEWAY_HEDGE_S": 0.3}
        running = service(settings, slots=hedges.slots(plays), start_delay=0)
        await running.start(engines=hedges.ENGINES)
        return [play async for play in hedges.play_past_one_that_hangs(running, plays)]

    rounds = await asyncio.gather(*(play(20) for _ in range(5)))
    assert [play.by_hedge for plays in rounds for play in plays] == 100 * [True]


@pytest.mark.parametrize("as_json", [False, True])
async def test_with_the_defaults_the_hedge_comes_within_the_wait(
    ready: Begin, watch: Watch, *, as_json: bool
) -> None:
    running = await ready(3)
    hung = (await by_rest(running))[0]
    await running.fault(hung, "hang_getstream")
    player = watch(running, 1, as_json=as_json)
    await player.begin()
    await player.takes(ENOUGH)
    assert player.port != hung
    [line] = await running.logged("play_opened")
    assert (line["tries"], line["won"]) == (2, True)


async def test_with_one_free_engine_that_hangs_the_next_one_that_is_ready_plays(
    service: MakeService, watch: Watch
) -> None:
    running = service({**KEPT, "MIN_REPLICAS": 1, "MAX_REPLICAS": 3}, slots=3)
    await running.start(engines=1)
    await running.fault((await by_rest(running))[0], "hang_getstream")
    player = watch(running, 1, as_json=True)
    await player.begin()
    assert player.port != (await by_rest(running))[0]


async def test_of_three_engines_the_one_that_does_not_hang_plays(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(3, GATEWAY_HEDGE_S="0.5")
    for port in (await by_rest(running))[:2]:
        await running.fault(port, "hang_getstream")
    player = watch(running, 1)
    await player.begin()
    assert player.port == (await by_rest(running))[2]
    [line] = await running.logged("play_opened")
    assert line["tries"] > 1


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_player_whose_picture_does_not_come_is_moved(
    ready: Begin, watch: Watch, *, as_json: bool
) -> None:
    running = await ready(2)
    await running.fault((await by_rest(running))[0], "hang_read")
    player = watch(running, 1, as_json=as_json)
    await player.begin()
    await player.takes(ENOUGH)
    assert player.port == (await by_rest(running))[1]
    if as_json:
        assert (await player.stop())["response"] == "ok"
        await running.logged("stream_ended", 2)


@pytest.mark.parametrize("kind", ["load_fails", "crash_on_getstream"])
async def test_the_next_engine_plays_what_one_refuses_or_dies_of(
    ready: Begin, watch: Watch, kind: str
) -> None:
    running = await ready(2)
    await running.fault((await by_rest(running))[0], kind)
    player = watch(running, 1)
    await player.begin()
    assert player.port == (await by_rest(running))[1]


async def test_an_engine_that_is_killed_right_after_its_answer_costs_no_more(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(2)
    player = watch(running, 1, as_json=True)
    await running.fault((await by_rest(running))[0], "hang_read")
    player.ask()
    await running.logged("play_opened")
    await running.crash((await by_rest(running))[0])
    await player.takes(ENOUGH)
    assert player.port == (await by_rest(running))[1]


async def test_a_player_is_answered_when_the_engine_that_starts_is_ready(
    service: MakeService, watch: Watch
) -> None:
    running = service({**KEPT, "MIN_REPLICAS": 0, "MAX_REPLICAS": 1}, slots=1, start_delay=2)
    await running.start()
    player = watch(running, 1, as_json=True)
    await player.begin()
    assert len(await running.logged("engine_ready")) == 1
    assert running.log("play_failed") == []


async def test_at_the_cap_a_player_waits_for_an_engine_that_is_given_back(
    ready: Begin, watch: Watch
) -> None:
    running = await ready(1)
    first, second = watch(running, 1, as_json=True), watch(running, 2)
    await first.begin()
    await first.takes(ENOUGH)
    second.ask()
    await eventually(partial(waiting, running))
    await first.leave()
    await second.takes(ENOUGH)


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
    with pytest.raises(PlaybackFailed, match="failed to load content"):
        await watch(running, 1, as_json=True).begin()
    with pytest.raises(PlaybackFailed, match="500"):
        await watch(running, 1).begin()

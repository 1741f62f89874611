"""A player that hangs up, whenever that is, leaves nothing claimed and nothing open."""

from functools import partial

import aiohttp
import pytest

from .conftest import Begin, Watch
from .pool import ENOUGH, asked, channel, only_these_are_left, waiting
from .service import LIMIT_S, Service, eventually

pytestmark = pytest.mark.timeout(300)

FORMS = pytest.mark.parametrize("as_json", [False, True])


@FORMS
async def test_while_it_is_queued(ready: Begin, watch: Watch, *, as_json: bool) -> None:
    running = await ready(1)
    first, second = watch(running, 1), watch(running, 2, as_json=as_json)
    await first.begin()
    second.ask()
    await eventually(partial(waiting, running))
    await second.hang_up()
    await only_these_are_left(running, first)


@FORMS
@pytest.mark.parametrize("engines", [1, 2])
async def test_while_engines_open_its_channel(
    ready: Begin, watch: Watch, engines: int, *, as_json: bool
) -> None:
    """What they open then is stopped at once."""
    running = await ready(2, GATEWAY_HEDGE_S="0.3" if engines == 2 else "300")
    for port in running.slots:
        await running.fault(port, "slow_getstream")
    player = watch(running, 1, as_json=as_json)
    player.ask()
    await asked(running, player.content, *engines * [1])
    await player.hang_up()
    await eventually(lambda: nobody_waits(running))
    for port in running.slots:
        await running.clear(port)
    await only_these_are_left(running)
    opened = [(await running.counters(port))["sessions_opened"] for port in running.slots]
    assert sum(opened) >= engines


@FORMS
async def test_between_its_session_and_the_answer(
    ready: Begin, watch: Watch, *, as_json: bool
) -> None:
    """The answer waits for the disk. Nothing but the hang-up ends the session: no sweep comes."""
    running = await ready(1)
    await running.fault(running.slots[0], "slow_getstream")
    player = watch(running, 1, as_json=as_json)
    player.ask()
    await asked(running, player.content, 1)
    with running.disk_that_stands_still():
        await running.clear(running.slots[0])
        await running.logged("play_opened")
        await player.hang_up()
        await eventually(lambda: has_counted_one_that_left(running))
    await only_these_are_left(running)


@FORMS
async def test_after_the_answer(ready: Begin, *, as_json: bool) -> None:
    """It never comes for the picture."""
    running = await ready(2, GATEWAY_IDLE_S="1", MONITOR_INTERVAL_S="0.5")
    url = f"{running.gateway}/ace/getstream?id={channel(1)}{'&format=json' if as_json else ''}"
    async with aiohttp.ClientSession() as http, http.get(url, allow_redirects=False) as answer:
        assert answer.status == (200 if as_json else 302)
    await only_these_are_left(running)


@FORMS
@pytest.mark.parametrize(
    ("fault", "calls"), [("hang_read", 2), ("no_peers", 3), ("", 3)], ids=["r", "content", "bytes"]
)
async def test_while_it_waits_for_the_picture_or_has_it(
    ready: Begin, watch: Watch, fault: str, calls: int, *, as_json: bool
) -> None:
    """An engine that hangs at `/ace/r` is asked for it after getstream; one without peers is asked
    for `/content` as well."""
    running = await ready(2, GATEWAY_IDLE_S="1", MONITOR_INTERVAL_S="0.5")
    for port in running.slots if fault else ():
        await running.fault(port, fault)
    player = watch(running, 1, as_json=as_json)
    player.ask()
    await asked(running, player.content, calls)
    if not fault:
        await player.takes(ENOUGH)
    await player.hang_up()
    await only_these_are_left(running)


async def nobody_waits(running: Service) -> bool:
    return not await waiting(running)


async def has_counted_one_that_left(running: Service) -> bool:
    metrics = (await running.call("GET", "/metrics", within=LIMIT_S)).body
    return b'acekeeper_gateway_requests_total{answer="left"} 1.0' in metrics

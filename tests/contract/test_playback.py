"""Engines that answer and do not play, or hang many at once: real ones, under real viewers."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from acekeeper.adapters import engine, playback
from acekeeper.core.facts import Fact, TimePassed
from acekeeper.core.model import Health
from acekeeper.core.names import Slot
from acekeeper.usecases.sweep import Kind

from .client import Client, Waits
from .serving import LIMIT_S, Serving, serving
from .viewer import Viewer

pytestmark = pytest.mark.timeout(300)

ENOUGH = 200_000
HOUR = "3600"
THREE = {
    "MIN_REPLICAS": "3",
    "MAX_REPLICAS": "4",
    "AUTO_DELETE": "false",
    "HEALTH_CHECK_INTERVAL_S": HOUR,
    "MONITOR_INTERVAL_S": HOUR,
    "HEALTH_UNHEALTHY_GRACE_PERIOD_S": "1",
}
SOON = {"choice_lasts": 0.3, "try_again_every": 0.1, "drain_wait": 0.5}
Start = Callable[..., AbstractAsyncContextManager[Serving]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    return partial(serving, tmp_path / "state", monkeypatch)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def viewer(stack: AsyncExitStack, running: Serving, number: int) -> Viewer:
    """Who plays, and has seen something."""
    client = await stack.enter_async_context(Client(running.base, waits=Waits(after_provision=0)))
    made = await stack.enter_async_context(Viewer(client, f"{number:040x}"))
    await made.begin()
    await made.takes(ENOUGH)
    return made


async def sees_nothing(leaver: Viewer, reason: str) -> None:
    """As the client tells it; its own stop, which hangs too, is left out."""
    event = {"stream_id": leaver.stream_id, "reason": reason}
    assert await leaver.client.event("/events/stream_ended", event)


@pytest.mark.parametrize(
    ("fault", "reason"), [("hang_playback", "timeout"), ("stall", "empty_timeout")]
)
async def test_an_engine_that_hangs_at_playback_is_replaced_and_nobody_else_notices(
    start: Start,
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    reason: str,
) -> None:
    monkeypatch.setattr(playback, "_STARTS_WITHIN", 0.4)
    monkeypatch.setattr(playback, "_BYTES_WITHIN", 0.4)
    running = await stack.enter_async_context(start(THREE, **SOON))
    await running.until(lambda: len(running.listed()) == 3)
    happy = await viewer(stack, running, 1)
    victim = await viewer(stack, running, 2)
    hung, well = victim.address.port, happy.address.port
    await running.fault(hung, fault)
    await sees_nothing(victim, reason)
    assert hung not in running.listed()
    state = running.context.state
    slot = Slot("127.0.0.1", hung)
    first = state.engines[slot].incarnation
    await running.until(lambda: state.engines[slot].health is Health.UNHEALTHY)
    await running.until(
        lambda: slot not in state.engines or state.engines[slot].incarnation != first
    )
    await running.until(lambda: len(running.listed()) >= 3)
    await happy.takes(ENOUGH)
    counters = await running.counters(well)
    assert (counters["sessions_opened"], counters["readers_started"]) == (1, 1)
    assert happy.stream_id in {s.id for s in state.streams.values() if s.ended is None}
    assert well in running.listed()


_ASKS = """
import sys, urllib.request
print("asks", flush=True)
urllib.request.urlopen(f"http://{sys.argv[1]}/ace/getstream?infohash={'a' * 40}&format=json")
"""


async def test_an_engine_whose_getstream_hangs_is_found_and_replaced(
    start: Start, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chosen from the list, it is told of by no event: the client sends none then."""
    monkeypatch.setattr(playback, "_STARTS_WITHIN", 0.4)
    running = await stack.enter_async_context(start(THREE | {"MONITOR_INTERVAL_S": "0.5"}, **SOON))
    await running.until(lambda: len(running.listed()) == 3)
    happy = await viewer(stack, running, 1)
    state = running.context.state
    await running.until(lambda: any(s.speed_down for s in state.samples.values()))
    hung = (await happy.client.choose()).port
    slot = Slot("127.0.0.1", hung)
    first = state.engines[slot].incarnation
    await running.until(lambda: (slot, first) in state.callers)
    await running.fault(hung, "hang_getstream")
    waiting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _ASKS, f"127.0.0.1:{hung}"), stdout=asyncio.subprocess.PIPE
    )
    try:
        await running.until(lambda: hung not in running.listed())
        doubt = state.engines[slot].doubt
        assert doubt is not None
        assert doubt.why == "connection"
    finally:
        waiting.kill()
        await waiting.communicate()
    comer = await viewer(stack, running, 2)
    assert comer.address.port != hung
    await running.until(
        lambda: slot not in state.engines or state.engines[slot].incarnation != first
    )
    assert happy.plays


async def test_who_only_reads_tells_nothing(
    start: Start, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is read, and however often."""
    running = await stack.enter_async_context(start(THREE))
    await running.until(lambda: len(running.listed()) == 3)
    happy = await viewer(stack, running, 1)
    loop = running.context.loop
    told: list[Fact] = []
    tell = loop.tell

    def recorded(fact: Fact) -> asyncio.Future[None]:
        told.append(fact)
        return tell(fact)

    monkeypatch.setattr(loop, "tell", recorded)
    ids = [e.container_id for e in running.context.state.engines.values()]
    questions = [f"/streams?status=started&container_id={i}" for i in ids]
    others = ["/engines?include=all", "/streams", "/orchestrator/status", "/metrics", "/log"]
    others += ["/health/ready", "/health/status", "/engines/health-score", f"/engines/{ids[0]}"]
    async with aiohttp.ClientSession() as http:
        for path in 3 * (questions + others):
            async with http.get(running.base + path) as answer:
                assert answer.status == 200, path
    assert [fact for fact in told if not isinstance(fact, TimePassed)] == []
    assert happy.plays


async def test_a_well_engine_is_back_soon_after_an_ordinary_bad_end(
    start: Start, stack: AsyncExitStack
) -> None:
    running = await stack.enter_async_context(start(THREE, **SOON))
    await running.until(lambda: len(running.listed()) == 3)
    leaver = await viewer(stack, running, 2)
    port = leaver.address.port
    first = running.context.state.engines[Slot("127.0.0.1", port)].incarnation
    await leaver.leave("empty_timeout")
    assert port not in running.listed()
    # Nor does its place look free to a client that read the list before.
    assert [s.key for s in await leaver.client.streams(_container(running, port))] == [""]
    await running.until(lambda: port in running.listed())
    assert await leaver.client.streams(_container(running, port)) == []
    counters = await running.counters(port)
    assert (counters["sessions_opened"], counters["sessions"], counters["readers"]) == (2, 0, 0)
    assert counters["sessions_stopped"] == 2
    assert running.context.state.engines[Slot("127.0.0.1", port)].incarnation == first


_WATCHES = """
import json, sys, urllib.request
host, infohash = sys.argv[1:]
query = f"?infohash={infohash}&format=json&pid=watcher"
with urllib.request.urlopen(f"http://{host}/ace/getstream{query}") as answer:
    playback_url = json.load(answer)["response"]["playback_url"]
with urllib.request.urlopen(playback_url) as picture:
    while picture.read(100_000):
        print("plays", flush=True)
"""


async def test_a_viewer_nobody_told_us_of_is_never_disturbed(
    start: Start, stack: AsyncExitStack
) -> None:
    """Its events were lost. Only its connection tells that it watches what would be tried."""
    running = await stack.enter_async_context(start(THREE, **SOON))
    await running.until(lambda: len(running.listed()) == 3)
    leaver = await viewer(stack, running, 2)
    port = leaver.address.port
    slot = Slot("127.0.0.1", port)
    await leaver.leave()
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _WATCHES, f"127.0.0.1:{port}", leaver.infohash),
        stdout=asyncio.subprocess.PIPE,
    )
    assert watcher.stdout
    try:
        assert await watcher.stdout.readline()
        told = leaver.client.event("/events/stream_started", _told_by(leaver, "another"))
        assert await told
        ended = {"stream_id": "another", "reason": "timeout"}
        assert await leaver.client.event("/events/stream_ended", ended)
        tried = set[float]()

        def looked_often() -> bool:
            doubt = running.context.state.engines[slot].doubt
            assert doubt is not None
            if doubt.tried is not None:
                tried.add(doubt.tried)
            return len(tried) >= 3

        await running.until(looked_often)
        counters = await running.counters(port)
        assert (counters["sessions_opened"], counters["readers"]) == (2, 1)
        assert await watcher.stdout.readline()
        assert watcher.returncode is None
    finally:
        watcher.kill()
        await watcher.communicate()
    await running.until(lambda: port in running.listed())


def _told_by(viewer: Viewer, stream_id: str) -> dict[str, object]:
    """An event of a stream that is over as soon as it began."""
    base = f"http://127.0.0.1:{viewer.address.port}/ace"
    return {
        "engine": viewer.address._asdict(),
        "stream": {"key_type": "infohash", "key": viewer.infohash},
        "session": {
            "playback_session_id": stream_id,
            "stat_url": f"{base}/stat/{viewer.infohash}/{stream_id}",
            "command_url": f"{base}/cmd/{viewer.infohash}/{stream_id}",
            "is_live": 1,
        },
        "labels": {"stream_id": stream_id},
    }


async def test_a_viewer_who_comes_during_a_try_is_never_disturbed(
    start: Start, stack: AsyncExitStack
) -> None:
    running = await stack.enter_async_context(start(THREE, **SOON))
    await running.until(lambda: len(running.listed()) == 3)
    leaver = await viewer(stack, running, 2)
    port = leaver.address.port
    await leaver.leave("timeout")
    await running.fault(port, "stall")  # so that the try lasts
    state = running.context.state
    slot = Slot("127.0.0.1", port)
    await running.until(lambda: _is_trying(running, slot))
    await asyncio.wait_for(_session_opened(running, port), 30)
    comer = await stack.enter_async_context(Viewer(leaver.client, leaver.infohash))
    with pytest.MonkeyPatch.context() as patch:

        async def chosen() -> object:
            return leaver.address

        patch.setattr(leaver.client, "choose", chosen)
        await comer.begin()
    await running.until(lambda: not _is_trying(running, slot))
    await running.context.sweeps.run(Kind.STREAMS)
    assert state.streams[comer.stream_id].ended is None
    assert comer.plays
    counters = await running.counters(port)
    assert counters["sessions"] == 1
    doubt = state.engines[slot].doubt
    assert doubt is not None
    assert doubt.failures == 0


def _is_trying(running: Serving, slot: Slot) -> bool:
    doubt = running.context.state.engines[slot].doubt
    return doubt is not None and doubt.trying


async def _session_opened(running: Serving, port: int) -> None:
    while (await running.counters(port))["sessions"] != 1:
        await asyncio.sleep(0.01)


def _container(running: Serving, port: int) -> str:
    return running.context.state.engines[Slot("127.0.0.1", port)].container_id


async def all_are_doubted(running: Serving) -> None:
    """One pass is enough for that, if the machine lets our own loop be in time."""
    async with asyncio.timeout(LIMIT_S):
        while running.listed():
            await running.context.sweeps.run(Kind.HEALTH)


MANY = {
    "MIN_REPLICAS": "8",
    "MAX_REPLICAS": "8",
    "AUTO_DELETE": "false",
    "HEALTH_CHECK_INTERVAL_S": HOUR,
    "HEALTH_FAILURE_THRESHOLD": "2",
    "HEALTH_UNHEALTHY_GRACE_PERIOD_S": "1",
    "HEALTH_REPLACEMENT_COOLDOWN_S": "4",
}


async def test_when_all_hang_at_once_a_quarter_is_replaced_per_cooldown(
    start: Start, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_STATUS_WITHIN", 1.0)
    running = await stack.enter_async_context(start(MANY, ask_suspect_every=0.1, drain_wait=0.1))
    await running.until(lambda: len(running.listed()) == 8)
    state = running.context.state
    before = {e.slot: e.incarnation for e in state.engines.values()}
    for slot in before:
        await running.fault(slot.port, "hang")
    await all_are_doubted(running)

    def replaced() -> int:
        return sum(
            slot not in state.engines or state.engines[slot].incarnation != first
            for slot, first in before.items()
        )

    await running.until(lambda: len(running.listed()) >= 2)
    assert 2 <= replaced() <= len(state.replaced)
    await running.until(lambda: len(state.replaced) >= 4)
    times = [at.mono for at in state.replaced]
    assert all(third - first >= 4 for first, third in zip(times, times[2:], strict=False))
    # Those that were replaced serve, whatever the others do.
    happy = await viewer(stack, running, 1)
    await happy.takes(ENOUGH)


async def test_while_our_own_loop_is_late_nobody_is_judged(
    start: Start, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_STATUS_WITHIN", 1.0)
    running = await stack.enter_async_context(start(MANY))
    await running.until(lambda: len(running.listed()) == 8)
    for port in running.listed():
        await running.fault(port, "hang")
    asking = asyncio.create_task(running.context.sweeps.run(Kind.HEALTH))
    for _ in range(20):  # turns of the loop, in which all are asked
        await asyncio.sleep(0)
    time.sleep(1.5)  # the lateness itself  # noqa: ASYNC251
    report = await asking
    assert report["silent"] == 8
    assert len(running.listed()) == 8
    assert {e.probe.failures for e in running.context.state.engines.values()} == {0}
    await all_are_doubted(running)

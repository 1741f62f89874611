"""What an operator does by hand."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from acekeeper.core.gateway.model import Reader
from acekeeper.core.model import ByGateway, KeyType, Opening, Phase, Stream

from ..requirements.scrape import Scrape
from .bodies import started
from .conftest import Serve, Served
from .test_schema import assert_is_as_said


@pytest.fixture
async def pool(serve: Serve) -> Served:
    """A service with one engine that answers."""
    served: Served = await serve(MIN_REPLICAS="1")
    await served.until(lambda s: len(listed(s)) == 1)
    return served


def listed(served: Served) -> list[int]:
    return [e.slot.port for e in served.context.state.engines.values() if e.listed]


def only(served: Served) -> str:
    [engine] = [e for e in served.context.state.engines.values() if e.listed]
    return engine.container_id


async def playing(served: Served) -> dict[str, Any]:
    """A session on the only engine, and a stream of it that was announced."""
    [port] = listed(served)
    url = f"http://127.0.0.1:{port}/ace/getstream?format=json&infohash={'a' * 40}&pid=p"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        session = (await answer.json())["response"]
    event = started(port=port)
    names = ("stat_url", "command_url")
    event["session"].update({name: session[name] for name in names})
    assert (await served.post("/events/stream_started", event)).status_code == 202
    return event


async def is_known(event: dict[str, Any]) -> bool:
    async with aiohttp.ClientSession() as http, http.get(event["session"]["stat_url"]) as answer:
        return (await answer.json(content_type=None))["error"] is None


async def test_scaling_is_kept_and_filled_up(pool: Served) -> None:
    answer = await pool.post("/scale/2")
    assert answer.json() == {"scaled_to": 2, "running": 1}
    assert_is_as_said(answer, "/scale/{count}")
    await pool.until(lambda s: len(listed(s)) == 2)
    assert (await pool.get("/orchestrator/status")).json()["capacity"]["at_least"] == 2
    assert (await pool.post("/scale/0")).json()["scaled_to"] == 0


async def test_a_number_out_of_bounds_is_refused_with_the_reason(served: Served) -> None:
    for count, why in (("4", "MAX_REPLICAS (3)"), ("-1", ">= 0"), ("x", "count: ")):
        answer = await served.post(f"/scale/{count}")
        assert answer.status_code == 400
        assert why in answer.json()["detail"]
    assert served.context.state.at_least == 0


async def test_what_was_asked_for_is_done_after_a_restart(serve: Serve) -> None:
    first: Served = await serve()
    assert (await first.post("/scale/1")).status_code == 200
    await first.stop()
    second: Served = await serve(**first.environ)
    await second.until(lambda s: len(listed(s)) == 1)


async def test_all_sweeps_at_once(pool: Served) -> None:
    answer = await pool.post("/gc")
    assert_is_as_said(answer, "/gc")
    reports = answer.json()
    assert reports["status"] == "ok"
    assert reports["health"]["answered"] == reports["scale"]["checked"] == 1
    assert reports["streams"]["checked"] == 0


async def test_a_drained_engine_leaves_the_list_and_is_replaced(pool: Served) -> None:
    name = only(pool)
    answer = await pool.post(f"/engines/{name}/drain")
    assert answer.json() == {"container_id": name, "status": "draining"}
    assert_is_as_said(answer, "/engines/{container_id}/drain")
    assert (await pool.get(f"/engines/{name}")).json()["engine"]["phase"] == "draining"
    assert name not in (await pool.get("/engines")).text
    await pool.until(lambda s: len(listed(s)) == 1)


async def test_a_container_is_stopped_now_and_its_streams_end(pool: Served) -> None:
    name = only(pool)
    event = await playing(pool)
    answer = await pool.client.delete(f"/containers/{name}")
    assert answer.json() == {"container_id": name, "status": "stopping"}
    assert_is_as_said(answer, "/containers/{container_id}")
    await pool.until(lambda s: s.context.state.find(name) is None)
    [stream] = (await pool.get("/streams?status=ended")).json()
    assert stream["id"] == event["labels"]["stream_id"]
    assert stream["reason"] == "engine_stopped:operator"


async def test_an_engine_that_is_being_stopped_is_neither_drained_nor_stopped_again(
    pool: Served,
) -> None:
    name = only(pool)
    [pid] = [int(e.incarnation.split(":")[0]) for e in pool.context.state.engines.values()]
    os.kill(pid, signal.SIGSTOP)  # it does not end before we have looked
    try:
        for _ in range(2):
            stopped = await pool.client.delete(f"/containers/{name}")
            assert (stopped.status_code, stopped.json()["status"]) == (202, "stopping")
        drained = await pool.post(f"/engines/{name}/drain")
        assert (drained.status_code, drained.json()["status"]) == (202, "stopping")
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("path", ["/containers/{}", "/streams/{}", "/engines/{}/drain"])
async def test_only_what_is_ours_can_be_ended(served: Served, path: str) -> None:
    method = "POST" if path.endswith("drain") else "DELETE"
    for name in ("absent", "", "claim%7Cabc", "engine-19000", "%2e%2e"):
        answer = await served.client.request(method, path.format(name))
        assert answer.status_code in (404, 405), name
    assert (await served.client.request(method, path.format("x" * 100))).status_code == 404


async def test_a_stream_is_stopped_at_its_engine_and_ended(pool: Served) -> None:
    event = await playing(pool)
    stream_id = event["labels"]["stream_id"]
    assert await is_known(event)
    answer = await pool.client.delete(f"/streams/{stream_id}")
    assert answer.json() == {"stream_id": stream_id, "status": "ended", "engine": "stopped"}
    assert_is_as_said(answer, "/streams/{stream_id}")
    assert not await is_known(event)
    [stream] = (await pool.get("/streams")).json()
    assert (stream["status"], stream["reason"]) == ("ended", "stopped_by_operator")
    again = await pool.client.delete(f"/streams/{stream_id}")
    assert again.json()["engine"] == "not_asked"


async def test_a_stream_of_the_gateway_is_ended_and_its_engine_is_held_until_it_has_stopped(
    pool: Served,
) -> None:
    state, now = pool.context.state, pool.context.clock()
    [engine] = [e for e in state.engines.values() if e.listed]
    opening = Opening("a" * 40, "b" * 32, "c" * 40, is_live=True)
    stream = Stream(
        id="by-gateway",
        key_type=KeyType.INFOHASH,
        key=opening.infohash,
        session=opening.token,
        stat_url="",
        own_command_url="",
        is_live=True,
        address=(engine.slot.host, engine.slot.port),
        started=now,
        slot=engine.slot,
        incarnation=engine.incarnation,
        container_id=engine.container_id,
        gateway=ByGateway(
            opening=opening, player="", arrival="", as_json=False, is_hls=False, query=""
        ),
    )
    state.put_stream(stream)
    state.put_reader(stream.id, Reader(now.mono, last=now.mono))
    stopped = asyncio.Event()

    async def stop(slot: object, url: str) -> None:
        await stopped.wait()

    pool.context.loop.engines.stop = stop  # type: ignore[method-assign,assignment]
    answer = await pool.client.delete("/streams/by-gateway")
    assert answer.json() == {"stream_id": stream.id, "status": "ended", "engine": "stopping"}
    assert_is_as_said(answer, "/streams/{stream_id}")
    assert state.streams[stream.id].reason == "stopped_by_operator"
    assert [hold.token for hold in state.holds[engine.ref]] == [opening.token]
    stopped.set()
    await pool.until(lambda _: engine.ref not in state.holds)


async def test_an_address_in_an_event_is_never_contacted(pool: Served) -> None:
    [port] = listed(pool)
    asked: list[str] = []

    async def stop(slot: object, url: str) -> None:
        asked.append(f"{slot} {url}")

    pool.context.loop.engines.stop = stop  # type: ignore[method-assign,assignment]
    elsewhere = started(port=19998, key="c" * 40)
    elsewhere["session"]["command_url"] = f"http://127.0.0.1:{port}/ace/cmd/a/b"
    await pool.post("/events/stream_started", elsewhere)
    answer = await pool.client.delete(f"/streams/{elsewhere['labels']['stream_id']}")
    assert answer.json()["engine"] == "not_asked"
    assert asked == []
    assert (await pool.get("/streams?status=started")).json() == []


async def test_a_silent_engine_does_not_keep_a_stream(pool: Served) -> None:
    [port] = listed(pool)
    event = started(port=port)
    event["session"]["command_url"] = "http://127.0.0.1/no/command"
    await pool.post("/events/stream_started", event)
    answer = await pool.client.delete(f"/streams/{event['labels']['stream_id']}")
    assert answer.json()["engine"] == "silent"
    assert (await pool.get("/streams?status=started")).json() == []


IDS = ["http://x//y?z=1#top|b", "100%", "%2F", "%252f", "a/b/", "/", " ", "магнит|ü", "..", "a\0b"]


@pytest.mark.parametrize("stream_id", IDS)
async def test_an_id_may_have_any_character(served: Served, stream_id: str) -> None:
    await served.post("/events/stream_started", started(labels={"stream_id": stream_id}))
    path = f"/streams/{quote(stream_id, safe='').replace('.', '%2E')}"
    answer = await served.client.delete(path)
    assert answer.json()["stream_id"] == stream_id
    assert (await served.get("/streams?status=started")).json() == []


ASKS: dict[str, Callable[[str], tuple[str, str]]] = {
    "scale": lambda _: ("POST", "/scale/1"),
    "reset": lambda _: ("POST", "/health/circuit-breaker/reset"),
    "drain": lambda name: ("POST", f"/engines/{name}/drain"),
    "stop": lambda name: ("DELETE", f"/containers/{name}"),
    "stream": lambda _: ("DELETE", f"/streams/{'a' * 40}%7C{'b' * 32}"),
}


@pytest.mark.parametrize("ask", ASKS)
async def test_what_is_not_on_disk_is_not_promised(serve: Serve, tmp_path: Any, ask: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/acekeeper.db").mkdir()  # where the file should be
    served: Served = await serve(MIN_REPLICAS="1")
    await served.until(lambda s: len(listed(s)) == 1)
    await served.post("/events/stream_started", started())
    answer = await served.client.request(*ASKS[ask](only(served)))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


async def test_the_breaker_is_reset(serve: Serve) -> None:
    served: Served = await serve(
        CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND="/bin/false {http_port}"
    )
    await served.post("/provision")
    assert (await served.get("/health/ready")).json()["circuit_state"] == "open"
    answer = await served.post("/health/circuit-breaker/reset")
    assert "it was open after 1 failures" in answer.json()["message"]
    assert_is_as_said(answer, "/health/circuit-breaker/reset")
    assert "X-Circuit-State" not in answer.headers
    assert (await served.get("/health/ready")).json()["ready"] is True
    assert all(e.phase is not Phase.RUNNING for e in served.context.state.engines.values())


async def test_a_host_in_maintenance_takes_nobody_until_it_is_ended(pool: Served) -> None:
    began = await pool.post("/maintenance")
    assert_is_as_said(began, "/maintenance")
    since = began.json()["since"]
    assert began.json() == {"since": since, "engines": 1, "streams": 0}
    assert (await pool.post("/maintenance")).json()["since"] == since
    assert (await pool.get("/engines")).json() == []
    refused = await pool.post("/provision/acestream")
    assert refused.status_code == 503
    detail = refused.json()["detail"]
    assert (detail["code"], detail["should_wait"]) == ("general_error", False)
    assert detail["recovery_eta_seconds"] is None
    status = (await pool.get("/orchestrator/status")).json()
    assert status["maintenance"] == since
    assert status["provisioning"]["can_provision"] is False
    assert status["provisioning"]["blocked_reason_details"] == detail
    ready = (await pool.get("/health/ready")).json()
    assert (ready["ready"], ready["maintenance"], ready["degraded"]) == (True, since, [])
    scrape = await Scrape.of(pool)
    assert scrape.value("orch_maintenance") == 1
    lasts = scrape.value("acekeeper_maintenance_seconds")
    assert 0 < lasts <= time.time() - datetime.fromisoformat(since).timestamp() + 1
    ended = await pool.client.delete("/maintenance")
    assert_is_as_said(ended, "/maintenance")
    assert ended.json() == {"since": None, "engines": 1, "streams": 0}
    assert len(listed(pool)) == 1
    assert (await pool.get("/orchestrator/status")).json()["maintenance"] is None
    after = await Scrape.of(pool)
    assert after.value("orch_maintenance") == after.value("acekeeper_maintenance_seconds") == 0


async def test_maintenance_without_engines_is_told_at_once_too(served: Served) -> None:
    assert (await served.get("/orchestrator/status")).json()["provisioning"]["can_provision"]
    await served.post("/maintenance")
    status = (await served.get("/orchestrator/status")).json()
    assert status["provisioning"]["can_provision"] is False

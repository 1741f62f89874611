"""What is true of every answer: its headers, and the shape of errors."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from loguru import logger

from acekeeper.app import api
from acekeeper.core.changes import Happening

from ..usecases.house import Clock, ScriptedEngines
from .conftest import BASE, Serve, Served

ROUTES = [
    ("GET", "/health/ready"),
    ("GET", "/orchestrator/status"),
    ("GET", "/health/status"),
    ("GET", "/vpn/status"),
    ("GET", "/fleet"),
    ("GET", "/fleet/absent"),
    ("GET", "/schema"),
    ("GET", "/engines"),
    ("GET", "/engines/absent"),
    ("GET", "/engines/health-score"),
    ("GET", "/containers/absent"),
    ("GET", "/containers/absent/logs"),
    ("GET", "/by-label?key=a&value=b"),
    ("GET", "/streams"),
    ("POST", "/events/stream_started"),
    ("POST", "/events/stream_ended"),
    ("POST", "/events/batch"),
    ("POST", "/provision/acestream"),
    ("POST", "/provision"),
    ("POST", "/sweeps/health"),
    ("POST", "/sweeps/streams"),
    ("POST", "/sweeps/scale"),
    ("POST", "/gc"),
    ("POST", "/scale/0"),
    ("POST", "/engines/absent/drain"),
    ("DELETE", "/containers/absent"),
    ("DELETE", "/streams/absent"),
    ("POST", "/health/circuit-breaker/reset"),
    ("GET", "/metrics"),
    ("GET", "/log"),
    ("GET", "/streams/absent/stats"),
    ("GET", "/schema/openapi.json"),
]
WRONG = [
    ("GET", "/"),
    ("GET", "/nowhere"),
    ("PUT", "/engines"),
    ("DELETE", "/events/batch"),
    ("GET", "/sweeps/health"),
    ("POST", "/sweeps/other"),
    ("GET", "/containers/absent/logs?tail=0"),
    ("GET", "/containers/absent/logs?tail=10001"),
    ("GET", "/by-label?key=a"),
    ("POST", "/scale/-1"),
    ("POST", "/scale/4"),
    ("POST", "/scale/1.5"),
    ("POST", "/scale/many"),
    ("POST", "/scale/" + "9" * 30),
    ("DELETE", "/streams/a/b"),
    ("GET", "/log?limit=0"),
    ("GET", "/streams/absent/stats?since=x"),
    ("GET", "/streams?limit=-1"),
    ("GET", "/streams?limit=1.5"),
    ("GET", "/streams?status=playing"),
    ("GET", "/engines?include=some"),
    ("GET", "/engines/%00"),
    ("GET", "/engines/a/b"),
    ("GET", "/%ff"),
]


def assert_has_the_headers(answer: httpx.Response) -> None:
    assert answer.headers["X-RateLimit-Provisioning-Limit"] == "5"
    assert 0 <= int(answer.headers["X-RateLimit-Provisioning-Remaining"]) <= 5
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("body", [None, b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}" * 9])
async def test_no_request_gets_a_5xx_or_an_answer_without_the_headers(
    serve: Serve, body: bytes | None
) -> None:
    served: Served = await serve(MAX_REPLICAS="1")
    await served.post("/provision")
    json = {"Content-Type": "application/json"} if body is not None else {}
    for method, path in ROUTES + WRONG:
        answer = await served.client.request(method, path, content=body, headers=json)
        assert_has_the_headers(answer)
        if "/provision" in path and answer.status_code == 503:
            assert answer.json()["detail"]["code"] == "max_capacity"
        elif answer.status_code >= 400:
            assert answer.status_code < 500, (method, path)
            assert isinstance(answer.json()["detail"], str)
            assert answer.headers["Content-Type"] == "application/json"


async def test_what_is_not_there_is_refused(served: Served) -> None:
    for method, path in WRONG:
        answer = await served.client.request(method, path)
        assert answer.status_code in (400, 404, 405), (method, path)


async def test_a_bad_parameter_is_named(served: Served) -> None:
    for query, name in (("limit=x", "limit"), ("status=x", "status")):
        answer = await served.get(f"/streams?{query}")
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"{name}: ")


async def test_doubled_slashes_are_single_ones(served: Served) -> None:
    assert (await served.get(f"{BASE}//engines")).json() == []
    assert (await served.get(f"{BASE}///streams//?limit=1")).json() == []
    assert (await served.post(f"{BASE}//provision//acestream", [])).status_code == 400


async def test_head_is_get_without_its_body(served: Served) -> None:
    for path in ("/health/ready", "/engines", "/streams?status=ended", "/metrics", "/nowhere"):
        head, get = await served.client.head(path), await served.get(path)
        assert head.status_code == get.status_code
        assert head.content == b""
        for name in ("Content-Type", "ETag", "Cache-Control"):
            assert head.headers.get(name) == get.headers.get(name)
        assert_has_the_headers(head)
    assert (await served.client.head("/engines", headers={"If-None-Match": "*"})).status_code == 304
    assert (await served.client.head("/provision")).status_code == 405
    counted = (await served.get("/metrics")).text
    assert 'orch_api_requests_total{endpoint="/engines",method="HEAD",status="200"} 1.0' in counted


async def test_every_request_has_an_id_of_its_own(served: Served) -> None:
    answers = [await served.get("/engines") for _ in range(3)]
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 3


async def test_while_the_breaker_is_not_closed_every_answer_says_so(serve: Serve) -> None:
    served: Served = await serve(
        CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND="/bin/false {http_port}"
    )
    assert "X-Circuit-State" not in (await served.get("/engines")).headers
    refused = await served.post("/provision/acestream")
    assert refused.status_code == 503
    assert refused.json()["detail"]["code"] == "circuit_breaker"
    for path in ("/engines", "/nowhere", "/orchestrator/status"):
        answer = await served.get(path)
        assert answer.headers["X-Circuit-State"] == "open"
        assert 290 <= int(answer.headers["Retry-After"]) <= 300
    assert (await served.get("/health/ready")).json()["ready"] is False


async def test_the_log_says_why_a_request_was_refused(served: Served) -> None:
    logged: list[Any] = []
    number = logger.add(lambda message: logged.append(message.record))
    answer = await served.post("/events/stream_started", {})
    await served.get(f"/{'k' * 300}")
    logger.remove(number)
    one, other = [r["extra"] for r in logged if r["message"] == "request_refused"]
    assert one["why"] == answer.json()["detail"] == "Object missing required field `engine`"
    assert one["path"] == "/events/stream_started"
    assert other["path"] == "(too long to show)"


async def test_a_request_that_takes_too_long_is_ended_and_names_the_limit(serve: Serve) -> None:
    slow = "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 60"
    served: Served = await serve(API_REQUEST_TIMEOUT_S="0.2", ENGINE_COMMAND=slow)
    logged: list[Any] = []
    number = logger.add(lambda message: logged.append(message.record))
    answer = await served.post("/provision/acestream")
    logger.remove(number)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "not done within the 0.2 s of API_REQUEST_TIMEOUT_S"
    assert answer.headers["Retry-After"]
    assert count(served, 'error_type="timeout",source="api"') == 1
    [timed_out] = [r for r in logged if r["message"] == "request_timed_out"]
    assert timed_out["extra"] == {
        "route": "/provision/acestream",
        "ran_out": "the 0.2 s of API_REQUEST_TIMEOUT_S",
    }
    # Nobody has the engine: its start goes on for the next caller.
    await served.until(lambda s: [e.claim for e in s.context.state.engines.values()] == [None])


async def test_a_sweep_has_the_longer_time(serve: Serve) -> None:
    served: Served = await serve(API_LONG_OPERATION_TIMEOUT_S="0.2", MIN_REPLICAS="1")
    hung = ScriptedEngines(Clock())
    hung.slow = set(range(-19000, 65536))
    hung.go_on.clear()
    served.context.loop.asks.engines = hung
    await served.until(lambda s: any(e.incarnation for e in s.context.state.engines.values()))
    answer = await served.post("/sweeps/health")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "not done within the 0.2 s of API_LONG_OPERATION_TIMEOUT_S"


async def test_a_body_that_does_not_come_is_the_callers_delay(serve: Serve) -> None:
    served: Served = await serve(API_REQUEST_TIMEOUT_S="0.2")

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    json = {"Content-Type": "application/json"}
    answer = await served.client.post("/events/stream_ended", content=body(), headers=json)
    assert answer.status_code == 408
    said = "the body did not come within the 0.2 s of API_REQUEST_TIMEOUT_S"
    assert answer.json()["detail"] == said
    assert answer.headers["Connection"] == "close"
    assert count(served, 'error_type="timeout",source="api"') == 1


async def test_an_answer_nobody_takes_is_broken_off(serve: Serve) -> None:
    served: Served = await serve(API_REQUEST_TIMEOUT_S="0.2")
    app: Any = api(served.settings, served.context, True, lambda: False)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/health/ready",
        "raw_path": b"/health/ready",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }

    async def send(_: object) -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        await app(scope, None, send)
    assert count(served, 'error_type="timeout",source="api"') == 1


async def test_a_start_that_runs_out_of_its_grace_says_so_and_is_counted(serve: Serve) -> None:
    logged: list[Any] = []
    number = logger.add(lambda message: logged.append(message.record))
    slow = "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 60"
    served: Served = await serve(
        PROVISION_STARTUP_GRACE_S="0.3", MIN_REPLICAS="1", ENGINE_COMMAND=slow
    )
    await served.until(lambda _: any(r["message"] == "engine_start_failed" for r in logged))
    logger.remove(number)
    assert count(served, 'error_type="start_timeout",source="engine"') >= 1
    [failed, *_] = [r for r in logged if r["message"] == "engine_start_failed"]
    assert failed["extra"]["why"] == "not ready within the 0.3 s of PROVISION_STARTUP_GRACE_S"


async def test_a_start_that_takes_the_runtime_too_long_is_counted(served: Served) -> None:
    data = {"cause": "runtime_timeout", "seconds": 120.0}
    served.context.metrics.observe(Happening("engine_start_failed", data=data))
    assert count(served, 'error_type="timeout",source="runtime"') == 1


def count(served: Served, labels: str) -> float:
    """Of failed calls. Not asked for, since a request may have little time here."""
    text = b"".join(served.context.metrics.exposition()).decode()
    line = f"orch_communication_errors_total{{{labels}}} "
    [value] = [said.removeprefix(line) for said in text.splitlines() if said.startswith(line)]
    return float(value)


async def test_our_own_defects_are_answered_and_logged(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> bytes:
        raise RuntimeError("a defect, with a detail nobody outside is to read")

    monkeypatch.setattr(served.context.views, "all_engines", broken)
    answer = await served.get("/engines?include=all")
    assert answer.status_code == 500
    assert "defect" not in answer.text
    assert_has_the_headers(answer)

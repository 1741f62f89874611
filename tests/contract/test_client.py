"""The client of these tests does what the real one was seen to do."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from .client import Address, CallFailed, Client, ProvisionRefused, Waits

LONG_AGO, LATELY = "2026-11-25T10:00:00Z", "2026-11-25T11:00:00+00:00"
CAN_PROVISION = {"provisioning": {"can_provision": True}}
NEW = {"container_id": "new", "host_http_port": 19003}


def engine(name: str, **fields: object) -> dict[str, object]:
    port = 19000 + "abc".index(name)
    return {"container_id": name, "host": "h", "port": port, "health_status": "healthy"} | fields


def refused(**fields: object) -> tuple[int, object]:
    return 503, {"detail": {"code": "general_error", "message": "no", **fields}}


class Orchestrator:
    """Answers what it is told to: for each call, or for each in turn. Remembers what was asked."""

    def __init__(self, engines: object, provision: object = None) -> None:
        self.answers = {
            "GET /orchestrator/status": CAN_PROVISION,
            "GET /engines": engines,
            "GET /streams": [],
            "POST /provision/acestream": provision,
        }
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.slept: list[float] = []

    def count(self, call: str) -> int:
        return sum(asked.startswith(call) for asked in self.asked)

    async def answer(self, request: web.Request) -> web.Response:
        call = f"{request.method} {request.path}"
        self.asked.append(f"{request.method} {request.path_qs}")
        self.headers.append(dict(request.headers))
        found: Any = self.answers.get(f"{request.method} {request.path_qs}", self.answers.get(call))
        if isinstance(found, Turns):
            found = found.pop(0) if len(found) > 1 else found[0]
        status, body = found if isinstance(found, tuple) else (200, found)
        return web.Response(status=status, body=json.dumps(body).encode())

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @asynccontextmanager
    async def client(self, key: str = "") -> AsyncIterator[Client]:
        application = web.Application()
        application.router.add_route("*", "/{any:.*}", self.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            async with Client(
                f"http://127.0.0.1:{port}", key, waits=Waits(sleep=self.sleep)
            ) as client:
                yield client
        finally:
            await runner.cleanup()


class Turns(list[Any]):
    pass


@pytest.mark.parametrize(
    ("engines", "chosen"),
    [
        ([engine("a", health_status="unhealthy"), engine("b")], 19001),
        ([engine("a", health_status="unknown", forwarded=True), engine("b")], 19001),
        ([engine("a"), engine("b", forwarded=True, last_stream_usage=LATELY)], 19001),
        ([engine("a", last_stream_usage=LATELY), engine("b", last_stream_usage=LONG_AGO)], 19001),
        ([engine("a", last_stream_usage=LONG_AGO), engine("b", last_stream_usage=None)], 19001),
        ([engine("a"), engine("b")], 19000),
        ([engine("a", health_status="unhealthy")], 19000),
    ],
)
async def test_the_order_of_choice(engines: list[object], chosen: int) -> None:
    orchestrator = Orchestrator(engines)
    async with orchestrator.client() as client:
        assert await client.choose() == Address("h", chosen)
    assert orchestrator.asked[1:] == [
        "GET /engines",
        *(f"GET /streams?container_id={name}&status=started" for name in "ab"[: len(engines)]),
    ]


async def test_an_engine_is_passed_by_if_it_plays_or_its_streams_cannot_be_read() -> None:
    question = "GET /streams?container_id={}&status=started"
    orchestrator = Orchestrator([engine(name) for name in "abc"])
    orchestrator.answers[question.format("a")] = [{"status": "started"}]
    orchestrator.answers[question.format("b")] = [{"status": "ended", "is_live": 1}]
    async with orchestrator.client() as client:
        assert await client.choose() == Address("h", 19002)
        await client.choose()
    assert orchestrator.count("GET /engines") == 1  # kept for two seconds


@pytest.mark.parametrize(
    "engines", [(500, []), (201, []), [engine("a", port="19000")], {"engines": []}]
)
async def test_a_list_it_cannot_read_sends_it_elsewhere(engines: object) -> None:
    orchestrator = Orchestrator(engines)
    async with orchestrator.client() as client:
        with pytest.raises(CallFailed):
            await client.choose()
    assert orchestrator.count("POST") == 0


@pytest.mark.parametrize(("then", "sleeps"), [([engine("a", container_id="new")], 1), ([], 2)])
async def test_a_new_engine_is_waited_for_and_not_asked_about(then: object, sleeps: int) -> None:
    orchestrator = Orchestrator(Turns([[], then]), NEW)
    async with orchestrator.client() as client:
        assert await client.choose() == Address("localhost", 19003)
    assert orchestrator.slept == [5.0] * sleeps
    assert orchestrator.asked[1:] == ["GET /engines", "POST /provision/acestream", "GET /engines"]


@pytest.mark.parametrize(
    ("answer", "posts", "sleeps"),
    [
        ((201, NEW), 3, []),
        ((202, NEW), 3, []),
        ((200, NEW | {"host_http_port": "19003"}), 3, []),
        ((500, "oops"), 3, []),
        (refused(code="", should_wait=False), 3, []),
        (refused(should_wait=False, recovery_eta_seconds=60), 1, []),
        (refused(should_wait=True, recovery_eta_seconds=4), 3, [2, 4]),
        (refused(should_wait=True, recovery_eta_seconds=1), 3, [0, 1]),
        (refused(should_wait=True, recovery_eta_seconds=None), 3, [0, 0]),
    ],
)
async def test_how_often_it_asks_for_an_engine(
    answer: object, posts: int, sleeps: list[int]
) -> None:
    orchestrator = Orchestrator([], answer)
    async with orchestrator.client() as client:
        with pytest.raises((CallFailed, ProvisionRefused)):
            await client.choose()
    assert orchestrator.count("POST") == posts
    assert orchestrator.slept == sleeps


@pytest.mark.parametrize(
    ("status", "can"),
    [
        (CAN_PROVISION, True),
        ((503, CAN_PROVISION), True),
        ({"provisioning": {"can_provision": False}}, False),
        ((401, {"detail": "who are you?"}), False),
        ({"provisioning": {"can_provision": "yes"}}, False),
    ],
)
async def test_the_status_decides_whether_it_asks_for_an_engine_at_all(
    status: object, can: bool
) -> None:
    orchestrator = Orchestrator([], refused(should_wait=False))
    orchestrator.answers["GET /orchestrator/status"] = status
    async with orchestrator.client(key="secret") as client:
        with pytest.raises(ProvisionRefused):
            await client.choose()
        orchestrator.answers["GET /orchestrator/status"] = "garbage"
        await client.poll_status()
        assert client.can_provision == can
    assert orchestrator.count("POST") == can
    tokens = [headers.get("Authorization") for headers in orchestrator.headers]
    assert tokens == [None, *["Bearer secret"] * (1 + can), None]


@pytest.mark.parametrize(("code", "acknowledged"), [(200, True), (202, True), (302, False)])
async def test_an_event_is_said_once(code: int, acknowledged: bool) -> None:
    orchestrator = Orchestrator([])
    orchestrator.answers["POST /events/stream_ended"] = (code, {})
    async with orchestrator.client() as client:
        assert await client.event("/events/stream_ended", {"stream_id": "a"}) == acknowledged
    assert orchestrator.count("POST") == 1

"""Asking for an engine, as the client does and as nobody should."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from .client import Client, ProvisionRefused, Waits
from .conftest import MakeService
from .go_json import decode
from .service import LIMIT_S, Answer, Service, eventually
from .shapes import Provisioned, RefusalBody

pytestmark = pytest.mark.timeout(300)

NEVER_READY = 3600.0  # seconds of start delay
NO_LIMITS: dict[str, object] = {"MAX_CONCURRENT_PROVISIONS": 50, "MIN_PROVISION_INTERVAL_S": 0}


async def post(service: Service, body: object = None) -> Answer:
    """With more than the client's patience: engines that start take the machine's time."""
    body = body or {"labels": {}, "env": {}}
    return await service.call("POST", "/provision/acestream", body, LIMIT_S)


async def posts(service: Service, count: int) -> tuple[list[Provisioned], list[Answer]]:
    """So many at once: the engines they got, and the other answers."""
    answers = await asyncio.gather(*(post(service) for _ in range(count)))
    got = [decode(a.body, Provisioned) for a in answers if a.status == 200]
    return got, [a for a in answers if a.status != 200]


async def test_twenty_at_once_get_twenty_engines(service: MakeService) -> None:
    running = service({"MIN_REPLICAS": 3, **NO_LIMITS})
    await running.start(engines=3)
    got, refused = await posts(running, 20)
    assert refused == []
    for name in ("container_id", "container_name", "host_http_port"):
        assert len({getattr(engine, name) for engine in got}) == 20
    all_engines = await running.get("/engines?include=all")
    ports = {engine["container_id"]: engine["port"] for engine in all_engines}
    assert {e.container_id: e.host_http_port for e in got}.items() <= ports.items()


async def test_who_gets_none_of_them_is_told_all_about_it(service: MakeService) -> None:
    running = service(
        {"MIN_REPLICAS": 2, "MAX_CONCURRENT_PROVISIONS": 3, "MIN_PROVISION_INTERVAL_S": 0.5},
        start_delay=NEVER_READY,
    )
    await running.start()
    got, refused = await posts(running, 20)
    assert len({engine.container_id for engine in got}) == len(got)
    assert got
    assert refused
    for answer in refused:
        assert_full(answer)
        assert answer.json["detail"]["code"] == "general_error"


def assert_full(answer: Answer) -> None:
    """A refusal the client can act on, and never one that makes it guess or wait in vain."""
    assert answer.status == 503
    detail = answer.json["detail"]
    assert detail.keys() == {
        "error",
        "code",
        "message",
        "recovery_eta_seconds",
        "can_retry",
        "should_wait",
    }
    refusal = decode(answer.body, RefusalBody).detail
    assert refusal.error
    assert refusal.message
    eta = detail["recovery_eta_seconds"]
    assert refusal.should_wait == (eta is not None and 1 <= eta <= 4)
    assert int(answer.headers["Retry-After"]) >= (eta or 1)


async def test_a_cold_start_is_answered_in_time_also_one_that_another_abandoned(
    service: MakeService,
) -> None:
    running = service({"MIN_REPLICAS": 0, **NO_LIMITS}, start_delay=NEVER_READY)
    await running.start()
    abandoned = asyncio.create_task(post(running))
    (starting,) = await running.logged("engine_starting")
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)
    await running.logged("answer_lost")

    async with Client(running.base, waits=Waits(after_provision=0)) as client:
        engine = await client.choose()  # gives up after 3 s, and at its third try for good
    assert f"engine-{engine.port}" == starting["engine"]
    assert len(running.log("engine_starting")) == 1
    assert running.engine_pids().keys() == {engine.port}


async def test_a_claimed_engine_looks_taken_to_the_client(service: MakeService) -> None:
    running = service({"MIN_REPLICAS": 2, **NO_LIMITS})
    await running.start(engines=2)
    async with Client(running.base) as client:
        claimed = await client.provision()
        await eventually(lambda: has_engines(running, 3))  # the claimed one is made up for
        for engine in await client.read_engines():
            streams = await client.streams(engine.container_id)
            if engine.container_id != claimed.container_id:
                assert streams == []
                continue
            (placeholder,) = streams
            assert placeholder.id.startswith("claim|")
            assert placeholder.status == "started"
            assert placeholder.container_id == claimed.container_id
            assert engine.streams == []
        address = await client.choose()
        assert address.port != claimed.host_http_port
    assert await running.stream_ids("started") == set()


async def test_no_path_leads_beyond_the_cap(service: MakeService) -> None:
    cap = 4
    running = service({"MAX_REPLICAS": cap, "MIN_REPLICAS": 2, **NO_LIMITS})
    await running.start(engines=2)
    free_port = running.slots[-1]
    answers = await asyncio.gather(
        *(post(running) for _ in range(10)),
        *(running.call("POST", "/provision", {}, LIMIT_S) for _ in range(10)),
        post(running, {"host_port": free_port}),
        running.call("POST", "/sweeps/scale", None, LIMIT_S),
        running.call("POST", "/sweeps/health", None, LIMIT_S),
    )
    provisions = answers[:-2]
    ids = {a.json["container_id"] for a in provisions if a.status == 200}
    assert len(ids) == cap
    refused = [a for a in provisions if a.status != 200]
    assert len(refused) == len(provisions) - cap
    for answer in refused:
        assert_full(answer)
        assert answer.json["detail"]["code"] == "max_capacity"
        assert answer.json["detail"]["should_wait"] is False
    assert most_at_once(running.log(), "engine_starting", "engine_died", "engine_stopped") == cap
    assert len(running.engine_pids()) == cap
    async with Client(running.base) as client:
        assert not client.can_provision
        with pytest.raises(ProvisionRefused):  # every engine is claimed
            await client.choose()


async def test_no_more_are_starting_at_once_than_may_be(service: MakeService) -> None:
    limits = {"MAX_CONCURRENT_PROVISIONS": 2, "MIN_PROVISION_INTERVAL_S": 0}
    running = service({"MIN_REPLICAS": 6, **limits}, start_delay=0.5)
    await running.start()
    asking = asyncio.create_task(posts(running, 10))  # no way round the limit
    await running.logged("engine_ready", 6)
    await asking
    assert most_at_once(running.log(), "engine_starting", "engine_ready") == 2


async def test_starts_keep_their_distance(service: MakeService) -> None:
    apart = 0.5
    limits = {"MAX_CONCURRENT_PROVISIONS": 20, "MIN_PROVISION_INTERVAL_S": apart}
    running = service({"MIN_REPLICAS": 4, **limits}, start_delay=0)
    await running.start()
    await posts(running, 10)
    lines = await running.logged("engine_starting", 5)
    starts = [datetime.fromisoformat(line["ts"]) for line in lines]
    # A line may be late by itself, and one gap shorter for it.
    assert (starts[-1] - starts[0]).total_seconds() > apart * (len(starts) - 2)


def most_at_once(lines: list[dict[str, Any]], begins: str, *ends: str) -> int:
    count = most = 0
    for line in lines:
        count += (line["event"] == begins) - (line["event"] in ends)
        most = max(most, count)
    return most


async def has_engines(service: Service, count: int) -> bool:
    return len(await service.get("/engines")) >= count

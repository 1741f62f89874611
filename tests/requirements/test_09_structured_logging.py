"""9. Structured logging: every line is an object a machine can read and follow."""

import json
from datetime import datetime

import httpx

from ..contract.conftest import MakeService


async def test_every_line_is_json_with_its_time_level_and_event(service: MakeService) -> None:
    running = service({"MIN_REPLICAS": 1})
    await running.start(engines=1)
    await running.call("GET", "/nowhere")
    await running.stop()
    lines = [json.loads(line) for line in running.said().splitlines()]
    assert {"serving", "engine_ready", "request_refused", "stopping"} <= {
        line["event"] for line in lines
    }
    for line in lines:
        assert datetime.fromisoformat(line["ts"]).tzinfo is not None
        assert line["level"] in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


async def test_what_a_request_caused_can_be_found_by_its_id(service: MakeService) -> None:
    running = service({"MIN_REPLICAS": 0})
    await running.start()
    async with httpx.AsyncClient(base_url=running.base) as client:
        answer = await client.post("/provision/acestream")
    [granted] = await running.logged("engine_granted")
    assert granted["request_id"] == answer.headers["X-Request-ID"]
    assert granted["engine"] == answer.json()["container_name"]

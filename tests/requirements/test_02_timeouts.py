"""2. Enhanced timeout configuration: six settings, each with the document's default."""

import re
from pathlib import Path

import pytest

from acekeeper.settings import load

from ..api.conftest import Serve, Served
from .engine import HANGABLE, NEVER_READY, hang
from .scrape import Scrape

ROOT = Path(__file__).parents[2]
DEFAULTS = {
    "API_REQUEST_TIMEOUT_S": 30,
    "API_LONG_OPERATION_TIMEOUT_S": 60,
    "PROVISION_TIMEOUT_S": 120,
    "PROVISION_STARTUP_GRACE_S": 30,
    "MAX_RETRIES": 3,
    "RETRY_BACKOFF_S": 2,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_setting_has_its_default_and_can_be_changed(name: str) -> None:
    assert getattr(load({}), name.lower()) == DEFAULTS[name]
    assert getattr(load({name: "7"}), name.lower()) == 7
    example = (ROOT / ".env.example").read_text("utf-8")
    assert re.search(rf"^#{name}={DEFAULTS[name]}$", example, re.MULTILINE)


async def test_an_ordinary_request_takes_no_longer_than_its_timeout(serve: Serve) -> None:
    served: Served = await serve(API_REQUEST_TIMEOUT_S="0.2", ENGINE_COMMAND=NEVER_READY)
    answer = await served.post("/provision/acestream")
    assert answer.status_code == 503
    assert "API_REQUEST_TIMEOUT_S" in answer.json()["detail"]


async def test_a_long_operation_has_a_timeout_of_its_own(serve: Serve) -> None:
    served: Served = await serve(ENGINE_COMMAND=HANGABLE, API_LONG_OPERATION_TIMEOUT_S="0.2")
    given = (await served.post("/provision/acestream")).json()
    await hang(served, given["host_http_port"])
    answer = await served.post("/sweeps/health")
    assert answer.status_code == 503
    assert "API_LONG_OPERATION_TIMEOUT_S" in answer.json()["detail"]


async def test_a_start_has_the_time_of_grace_to_answer(serve: Serve) -> None:
    served: Served = await serve(
        PROVISION_STARTUP_GRACE_S="0.2",
        CIRCUIT_BREAKER_THRESHOLD="1",
        ENGINE_COMMAND=NEVER_READY,
    )
    answer = await served.post("/provision/acestream")
    assert answer.status_code == 503
    assert answer.json()["detail"]["code"] == "circuit_breaker"
    scrape = await Scrape.of(served)
    assert scrape.value('orch_provision_duration_seconds_count{success="false"}') == 1

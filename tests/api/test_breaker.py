"""The circuit breaker as clients and operators see it, from the first failure to the success that
ends it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Serve, Served

FAILING = "/bin/false {http_port}"
WORKING = "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 0"


def engine_that_fails(directory: Path) -> tuple[str, Callable[[], None]]:
    """Its command, and what makes it work."""
    program = directory / "engine"

    def work() -> None:
        words = "-m acekeeper.emulator --http-port $1 --start-delay 0"
        program.write_text(f"#!/bin/sh\nexec {sys.executable} {words}\n")

    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return f"{program} {{http_port}}", work


async def status(served: Served) -> dict[str, Any]:
    said: dict[str, Any] = (await served.get("/orchestrator/status")).json()["provisioning"]
    return said


@pytest.mark.parametrize("path", ["/provision", "/provision/acestream"])
async def test_it_opens_survives_a_restart_is_reset_and_closed_by_a_success(
    serve: Serve, path: str, tmp_path: Path
) -> None:
    command, work = engine_that_fails(tmp_path)
    served: Served = await serve(CIRCUIT_BREAKER_THRESHOLD="3", ENGINE_COMMAND=command)
    while served.context.state.breaker.opened is None:
        assert (await served.post(path)).status_code == 503
    assert served.context.state.breaker.failures == 3
    for method, asked in (("GET", "/engines"), ("GET", "/nowhere"), ("POST", "/gc"), ("PUT", "/")):
        answer = await served.client.request(method, asked)
        assert answer.headers["X-Circuit-State"] == "open"
        assert 290 <= int(answer.headers["Retry-After"]) <= 300
    said = await status(served)
    assert (said["can_provision"], said["circuit_breaker_state"]) == (False, "open")
    assert said["last_failure"] is not None
    assert said["blocked_reason"] == "circuit_breaker"
    assert 290 <= said["blocked_reason_details"]["recovery_eta_seconds"] <= 300
    refused = await served.post(path)
    assert refused.status_code == 503
    assert 290 <= int(refused.headers["Retry-After"]) <= 300
    await served.stop()

    work()
    served = await serve(**served.environ)
    assert (await served.get("/health/ready")).json()["circuit_state"] == "open"
    assert not (await status(served))["can_provision"]
    assert (await served.post(path)).json()["detail"]["code"] == "circuit_breaker"
    assert (await served.post("/health/circuit-breaker/reset")).status_code == 200
    assert (await status(served))["can_provision"]
    assert "Retry-After" not in (await served.get("/engines")).headers
    assert (await served.post(path)).status_code == 200
    await served.stop()

    served = await serve(**served.environ)
    assert (await status(served))["circuit_breaker_state"] == "closed"


async def test_another_command_closes_it(serve: Serve) -> None:
    served: Served = await serve(CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND=FAILING)
    await served.post("/provision")
    await served.until(lambda s: s.context.state.breaker.opened)
    await served.stop()
    served = await serve(**served.environ | {"ENGINE_COMMAND": WORKING})
    assert (await status(served))["circuit_breaker_state"] == "closed"
    assert (await served.post("/provision")).status_code == 200


async def test_after_its_time_one_trial_is_let_through_and_closes_it(
    serve: Serve, tmp_path: Path
) -> None:
    command, work = engine_that_fails(tmp_path)
    served: Served = await serve(CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND=command)
    await served.post("/provision")
    await served.until(lambda s: s.context.state.breaker.opened)
    await served.stop()
    work()
    served = await serve(**served.environ | {"CIRCUIT_BREAKER_TIMEOUT_S": "1"})

    async def circuit() -> tuple[str, str | None]:
        answer = await served.get("/health/ready")
        return answer.json()["circuit_state"], answer.headers.get("Retry-After")

    while (now := await circuit())[0] == "open":
        assert now[1] in ("1", "0")  # between the body and the headers it may be time
    assert now == ("half_open", "0")
    assert (await status(served))["can_provision"]
    assert (await served.post("/provision")).status_code == 200
    assert await circuit() == ("closed", None)


async def test_starts_for_the_pool_count_as_well(serve: Serve) -> None:
    served: Served = await serve(
        CIRCUIT_BREAKER_THRESHOLD="2", MIN_REPLICAS="1", ENGINE_COMMAND=FAILING
    )
    await served.until(lambda s: s.context.state.breaker.opened)
    assert served.context.state.breaker.failures == 2

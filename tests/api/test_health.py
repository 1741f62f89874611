"""/health/status."""

from typing import Any

from .conftest import Serve, Served
from .test_reads import with_engines


async def report(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = (await served.get("/health/status")).json()
    return found


async def test_a_healthy_pool_and_what_it_is_judged_by(serve: Serve) -> None:
    served = await with_engines(serve, 2, HEALTH_UNHEALTHY_GRACE_PERIOD_S="45")
    told = await report(served)
    assert told == {
        "status": "healthy",
        "engines": {
            "total": 2,
            "healthy": 2,
            "unhealthy": 0,
            "unknown": 0,
            "starting": 0,
            "running": 2,
            "draining": 0,
            "stopping": 0,
        },
        "thresholds": {
            "health_failure_threshold": 3,
            "health_unhealthy_grace_period_s": 45,
            "health_replacement_cooldown_s": 60,
            "provision_startup_grace_s": 30,
        },
        "circuit_breakers": {
            "provisioning": {
                "state": "closed",
                "failures": 0,
                "failure_threshold": 5,
                "recovery_timeout_s": 300,
                "seconds_left": 0,
                "opened_at": None,
                "last_failure": None,
            }
        },
        "timestamp": told["timestamp"],
    }
    [engine, _] = (await served.get("/engines")).json()
    await served.post(f"/engines/{engine['container_id']}/drain")
    engines = (await report(served))["engines"]
    assert (engines["running"], engines["draining"], engines["healthy"]) == (1, 1, 2)


async def test_an_open_breaker_is_told_with_its_seconds(serve: Serve) -> None:
    served: Served = await serve(
        CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND="/bin/false {http_port}"
    )
    await served.post("/provision/acestream")
    told = await report(served)
    breaker = told["circuit_breakers"]["provisioning"]
    assert told["status"] == "unavailable"
    assert (breaker["state"], breaker["failures"]) == ("open", 1)
    assert 290 <= breaker["seconds_left"] <= 300
    assert breaker["opened_at"] == breaker["last_failure"] is not None

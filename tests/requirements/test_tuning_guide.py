"""The tuning guide: three profiles, each with the document's values, in force in the service."""

import pytest

from acekeeper.settings import load

from ..api.conftest import Serve, Served
from ..ports import engine_ports
from .engine import BROKEN

GUIDE: dict[str, dict[str, float]] = {
    "high-load": {
        "MAX_CONCURRENT_PROVISIONS": 10,
        "MIN_PROVISION_INTERVAL_S": 0.2,
        "API_REQUEST_TIMEOUT_S": 60,
        "PROVISION_TIMEOUT_S": 180,
        "HEALTH_CHECK_INTERVAL_S": 15,
        "MAX_RETRIES": 5,
        "RETRY_BACKOFF_S": 3,
    },
    "constrained": {
        "MAX_CONCURRENT_PROVISIONS": 3,
        "MIN_PROVISION_INTERVAL_S": 1,
        "API_REQUEST_TIMEOUT_S": 90,
        "PROVISION_TIMEOUT_S": 240,
        "HEALTH_CHECK_INTERVAL_S": 60,
        "CIRCUIT_BREAKER_THRESHOLD": 3,
        "CIRCUIT_BREAKER_TIMEOUT_S": 600,
    },
    "high-availability": {
        "HEALTH_CHECK_INTERVAL_S": 10,
        "MONITOR_INTERVAL_S": 5,
        "MIN_REPLICAS": 5,
        "MAX_CONCURRENT_PROVISIONS": 8,
        "ENGINE_GRACE_PERIOD_S": 15,
        "MAX_RETRIES": 10,
        "RETRY_BACKOFF_S": 2,
    },
}


@pytest.mark.parametrize("profile", GUIDE)
def test_a_profile_has_the_values_of_the_guide_and_gives_way_to_explicit_ones(profile: str) -> None:
    for name, value in GUIDE[profile].items():
        assert getattr(load({"PROFILE": profile}), name.lower()) == value, name
        explicit = load({"PROFILE": profile, name: "1"})
        assert getattr(explicit, name.lower()) == 1, name
        assert explicit.sources[name] == "environment"


@pytest.mark.parametrize(("profile", "limit"), [("high-load", 10), ("constrained", 3)])
async def test_provisioning_capacity_is_that_of_the_profile(
    serve: Serve, profile: str, limit: int
) -> None:
    served: Served = await serve(PROFILE=profile)
    answer = await served.get("/engines")
    assert answer.headers["X-RateLimit-Provisioning-Limit"] == str(limit)


async def test_constrained_opens_its_breaker_after_three_failures_for_ten_minutes(
    serve: Serve,
) -> None:
    served: Served = await serve(PROFILE="constrained", ENGINE_COMMAND=BROKEN, MIN_REPLICAS="1")
    await served.until(lambda s: s.context.state.breaker.opened is not None)
    assert 590 <= int((await served.get("/engines")).headers["Retry-After"]) <= 600
    assert served.context.state.breaker.failures == 3


async def test_high_availability_always_keeps_five_free(serve: Serve) -> None:
    served: Served = await serve(
        PROFILE="high-availability", MIN_REPLICAS="", **engine_ports(6), MAX_REPLICAS="6"
    )

    def free(s: Served) -> int:
        return sum(
            s.context.state.is_free(e, s.context.rules) for e in s.context.state.engines.values()
        )

    await served.until(lambda s: free(s) == 5)
    given = (await served.post("/provision/acestream")).json()
    await served.until(lambda s: free(s) == 5)
    engines = (await served.get("/engines")).json()
    assert len(engines) == 6
    assert given["container_id"] in {e["container_id"] for e in engines}

"""12. Alert rules and runbooks: what the rules ask for is there, and says what they wait for."""

from ..api.conftest import Serve, Served
from .engine import BROKEN
from .scrape import Scrape

HEALTHY = 'orch_engines_total{health_status="healthy"}'
OPEN = 'orch_circuit_state{state="open"}'


async def test_high_api_latency(served: Served) -> None:
    """A quantile is compared with 1 s, so one of the buckets has to end there."""
    await served.get("/engines")
    scrape = await Scrape.of(served)
    assert scrape.series('orch_api_duration_seconds_bucket{endpoint="/engines",le="1.0"}')


async def test_circuit_breaker_open(serve: Serve) -> None:
    served: Served = await serve(CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND=BROKEN)
    assert (await Scrape.of(served)).value(OPEN) == 0
    await served.post("/provision/acestream")
    assert (await Scrape.of(served)).value(OPEN) == 1


async def test_no_healthy_engines(serve: Serve) -> None:
    served: Served = await serve()
    assert (await Scrape.of(served)).value(HEALTHY) == 0
    await served.post("/provision/acestream")
    assert (await Scrape.of(served)).value(HEALTHY) == 1

"""11. Comprehensive monitoring dashboard: its queries find series from the first scrape."""

import pytest

from ..api.conftest import Served
from .scrape import Scrape

QUERIES = {
    "Engine Health Over Time": 'orch_engines_total{health_status="healthy"}',
    "API Request Latency": "orch_api_duration_seconds_bucket",
    "Provisioning Success Rate": 'orch_provision_total{kind="acestream"}',
    "Communication Error Rate": "orch_communication_errors_total",
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_a_query_finds_series(served: Served, query: str) -> None:
    await served.get("/engines")
    assert (await Scrape.of(served)).series(query)

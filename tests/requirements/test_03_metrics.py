"""3. Request metrics and monitoring: four metrics, by the document's names and labels."""

from ..api.conftest import Serve, Served
from .engine import BROKEN, Talking
from .scrape import Scrape

ERRORS = 'orch_communication_errors_total{source="engine"}'


async def test_requests_are_counted_by_endpoint_method_and_status(served: Served) -> None:
    await served.get("/engines")
    await served.get("/engines")
    await served.get("/engines/absent")
    await served.post("/events/stream_ended", {})
    scrape = await Scrape.of(served)
    for selector, count in {
        'orch_api_requests_total{endpoint="/engines",method="GET",status="200"}': 2,
        'orch_api_requests_total{endpoint="/engines/{container_id}",method="GET",status="404"}': 1,
        'orch_api_requests_total{endpoint="/events/stream_ended",method="POST",status="202"}': 1,
    }.items():
        assert scrape.value(selector) == count, selector


async def test_how_long_they_took_is_a_histogram_by_endpoint_and_method(served: Served) -> None:
    await served.get("/engines")
    await served.get("/engines")
    scrape = await Scrape.of(served)
    which = 'endpoint="/engines",method="GET"'
    assert scrape.value(f"orch_api_duration_seconds_count{{{which}}}") == 2
    assert 0 < scrape.value(f"orch_api_duration_seconds_sum{{{which}}}") < 60
    buckets = scrape.series(f"orch_api_duration_seconds_bucket{{{which}}}")
    assert [s.value for s in buckets if s.labels["le"] == "+Inf"] == [2]


async def test_how_long_starts_took_by_their_success(serve: Serve) -> None:
    good: Served = await serve()
    await good.post("/provision/acestream")
    scrape = await Scrape.of(good)
    assert scrape.value('orch_provision_duration_seconds_count{success="true"}') == 1
    assert scrape.value('orch_provision_duration_seconds_count{success="false"}') == 0
    assert scrape.value('orch_provision_total{kind="acestream"}') == 1


async def test_a_start_that_failed_counts_as_such(serve: Serve) -> None:
    served: Served = await serve(ENGINE_COMMAND=BROKEN)
    await served.post("/provision/acestream")
    scrape = await Scrape.of(served)
    assert scrape.value('orch_provision_duration_seconds_count{success="false"}') >= 1
    assert scrape.value('orch_provision_total{kind="acestream"}') == 0


async def test_failed_calls_to_the_outside_are_counted_by_source_and_type(
    serve: Serve, talking: Talking
) -> None:
    served: Served = await serve(ENGINE_COMMAND=talking.command, HEALTH_FAILURE_THRESHOLD="100")
    await served.post("/provision/acestream")
    before = sum(s.value for s in (await Scrape.of(served)).series(ERRORS))
    talking.says("<html>an error page</html>")
    await served.post("/sweeps/health")
    after = (await Scrape.of(served)).series(ERRORS)
    assert sum(s.value for s in after) > before
    assert all(s.labels["error_type"] for s in after)

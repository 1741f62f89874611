"""10. Health-based load balancing: the engines by how good a choice each is, best first."""

import pytest

from ..api.bodies import started
from ..api.conftest import Serve, Served
from .engine import Talking

WARM = 10  # more for an engine that was used in the last five minutes


async def scores(served: Served) -> dict[int, int]:
    """By port, in the order of the answer."""
    found = (await served.get("/engines/health-score")).json()
    return {score["port"]: score["health_score"] for score in found}


@pytest.mark.parametrize(
    ("streams", "score"), [(0, 100), (1, 80 + WARM), (3, 40 + WARM), (4, 40 + WARM)]
)
async def test_a_stream_costs_20_and_60_at_most(serve: Serve, streams: int, score: int) -> None:
    served: Served = await serve()
    given = (await served.post("/provision/acestream")).json()
    port = given["host_http_port"]
    for n in range(streams):
        await served.post("/events/stream_started", started(port=port, token=f"{n:032}"))
    [found] = (await served.get("/engines/health-score")).json()
    assert found == {
        "container_id": given["container_id"],
        "host": "127.0.0.1",
        "port": port,
        "health_score": score,
        "stream_count": streams,
        "health_status": "healthy",
    }


@pytest.mark.parametrize(
    ("threshold", "health", "score"), [(100, "unknown", 75), (1, "unhealthy", 50)]
)
async def test_an_engine_that_does_not_answer_is_worth_less(
    serve: Serve, talking: Talking, threshold: int, health: str, score: int
) -> None:
    served: Served = await serve(
        ENGINE_COMMAND=talking.command, HEALTH_FAILURE_THRESHOLD=str(threshold)
    )
    await served.post("/provision/acestream")
    talking.says("<html>an error page</html>")
    await served.post("/sweeps/health")
    [found] = (await served.get("/engines/health-score")).json()
    assert (found["health_status"], found["health_score"]) == (health, score)


async def test_the_best_comes_first(serve: Serve) -> None:
    served: Served = await serve(MIN_REPLICAS="3")
    await served.until(lambda s: sum(e.listed for e in s.context.state.engines.values()) == 3)
    busy, warm, _ = served.settings.port_range_host
    for n in range(2):
        await served.post("/events/stream_started", started(port=busy, token=f"{n:032}"))
    event = started(port=warm, token="c" * 32)
    await served.post("/events/stream_started", event)
    await served.post("/events/stream_ended", {"stream_id": event["labels"]["stream_id"]})
    found = await scores(served)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert (found[warm], found[busy]) == (100 + WARM, 60 + WARM)
    assert [*found][::2] == [warm, busy]

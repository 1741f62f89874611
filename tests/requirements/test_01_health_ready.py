"""1. Health/readiness endpoint: a client asks it before it asks for an engine."""

from datetime import UTC, datetime

from ..api.bodies import started
from ..api.conftest import Serve, Served
from .engine import BROKEN


async def test_it_says_whether_it_is_ready_and_what_it_has(serve: Serve) -> None:
    served: Served = await serve()
    await served.post("/provision/acestream")
    await served.post("/events/stream_started", started())
    before = datetime.now(UTC)
    answer = await served.get("/health/ready")
    assert answer.status_code == 200
    said = answer.json()
    assert said["ready"] is True
    assert (said["engines"], said["active_streams"]) == (1, 1)
    assert said["circuit_state"] == "closed"
    assert datetime.fromisoformat(said["timestamp"]) >= before


async def test_with_the_breaker_open_it_is_alive_and_not_ready(serve: Serve) -> None:
    served: Served = await serve(CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND=BROKEN)
    await served.post("/provision/acestream")
    answer = await served.get("/health/ready")
    assert answer.status_code == 200
    assert (answer.json()["ready"], answer.json()["circuit_state"]) == (False, "open")


async def test_it_is_asked_without_a_key(serve: Serve) -> None:
    served: Served = await serve(only_loopback=False, API_KEY="key", APP_HOST="0.0.0.0")
    assert (await served.get("/health/ready")).json()["ready"] is True

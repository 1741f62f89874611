"""4. Rate limiting headers: a client sees on every answer how much it may still ask for."""

import asyncio

from ..api.conftest import Serve, Served
from .engine import BROKEN, NEVER_READY

LIMIT = "X-RateLimit-Provisioning-Limit"
REMAINING = "X-RateLimit-Provisioning-Remaining"
PATHS = ["/engines", "/health/ready", "/nowhere", "/streams?limit=x", "/metrics"]


async def test_every_answer_has_the_limit_and_what_remains_of_it(serve: Serve) -> None:
    served: Served = await serve(
        MAX_CONCURRENT_PROVISIONS="8", MIN_REPLICAS="2", ENGINE_COMMAND=NEVER_READY
    )
    await served.until(lambda s: len(s.context.state.engines) == 2)
    for path in PATHS:
        answer = await served.get(path)
        assert (answer.headers[LIMIT], answer.headers[REMAINING]) == ("8", "6"), path
    assert (await served.post("/events/batch", [])).headers[REMAINING] == "6"


async def test_what_is_started_no_longer_counts(serve: Serve) -> None:
    served: Served = await serve(MIN_REPLICAS="2")
    await served.until(lambda s: sum(e.listed for e in s.context.state.engines.values()) == 2)
    assert (await served.get("/engines")).headers[REMAINING] == "5"


async def test_an_open_breaker_shows_with_the_seconds_left(serve: Serve) -> None:
    served: Served = await serve(CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND=BROKEN)
    closed = await served.get("/engines")
    assert "X-Circuit-State" not in closed.headers
    assert "Retry-After" not in closed.headers
    await served.post("/provision/acestream")
    for path in PATHS:
        answer = await served.get(path)
        assert answer.headers["X-Circuit-State"] == "open", path
        assert 270 <= int(answer.headers["Retry-After"]) <= 300, path


async def test_a_breaker_that_lets_one_try_says_so(serve: Serve) -> None:
    served: Served = await serve(
        CIRCUIT_BREAKER_THRESHOLD="1",
        CIRCUIT_BREAKER_TIMEOUT_S="0.5",
        API_REQUEST_TIMEOUT_S="0.1",  # so that nobody waits for the next try
        ENGINE_COMMAND=BROKEN,
    )
    await served.post("/provision/acestream")
    await served.until(lambda s: s.context.state.breaker.opened is not None)  # after the answer
    while (answer := await served.get("/nowhere")).headers["X-Circuit-State"] == "open":
        assert answer.headers["Retry-After"] == "1"
        await asyncio.sleep(0.01)
    assert answer.headers["X-Circuit-State"] == "half_open"
    assert answer.headers["Retry-After"] == "0"

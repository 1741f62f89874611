"""7. Async event processing: a client is not held up by what an event leads to."""

import asyncio

import pytest

from ..api.bodies import changed, started
from ..api.conftest import Serve, Served
from .engine import HANGABLE, hang


async def test_a_start_is_accepted_with_the_id_of_its_stream(served: Served) -> None:
    answer = await served.post("/events/stream_started", changed(started(), "labels", ...))
    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted", "stream_id": f"{'a' * 40}|{'b' * 32}"}


@pytest.mark.parametrize("field", ["engine", "stream", "session"])
async def test_an_invalid_event_is_refused(served: Served, field: str) -> None:
    answer = await served.post("/events/stream_started", changed(started(), field, ...))
    assert answer.status_code == 400
    assert field in answer.json()["detail"]


async def test_a_hung_engine_holds_up_no_event_and_no_read(serve: Serve) -> None:
    """The pass that asks it is still waiting when everybody else has been answered."""
    served: Served = await serve(ENGINE_COMMAND=HANGABLE)
    port = (await served.post("/provision/acestream")).json()["host_http_port"]
    await hang(served, port)
    asking = asyncio.create_task(served.post("/sweeps/health"))
    events = [started(port=port, token=f"{n:032}") for n in range(50)]
    answers = await asyncio.gather(*(served.post("/events/stream_started", e) for e in events))
    assert {answer.status_code for answer in answers} == {202}
    streams = (await served.get("/streams?status=started")).json()
    assert len(streams) == 50
    assert not asking.done()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

"""5. Event batching: many events in one request, and single ones as before."""

from ..api.bodies import changed, started
from ..api.conftest import Served
from .scrape import Scrape


async def test_a_batch_does_what_its_events_do(served: Served) -> None:
    batch = {"started": [started(token=f"{n:032}") for n in range(3)], "ended": []}
    answer = await served.post("/events/batch", batch)
    assert answer.status_code == 200
    results = answer.json()["started"]
    assert [r["success"] for r in results] == [True] * 3
    ids = [r["stream_id"] for r in results]
    assert {s["id"] for s in (await served.get("/streams?status=started")).json()} == set(ids)
    ended = [{"stream_id": i} for i in (*ids, "absent")]
    answer = await served.post("/events/batch", {"ended": ended})
    assert answer.json() == {
        "started": [],
        "ended": [
            *({"success": True, "stream_id": i} for i in ids),
            {"success": False, "error": "stream not found"},
        ],
    }
    assert (await served.get("/streams?status=started")).json() == []


async def test_events_of_a_batch_are_counted_as_single_ones_are(served: Served) -> None:
    one, two = started(token="1" * 32), started(token="2" * 32)
    await served.post("/events/batch", {"started": [one]})
    await served.post("/events/stream_started", two)
    scrape = await Scrape.of(served)
    assert scrape.value("orch_events_started_total") == 2
    assert scrape.value("orch_streams_active") == 2
    await served.post("/events/batch", {"ended": [{"stream_id": one["labels"]["stream_id"]}]})
    await served.post("/events/stream_ended", {"stream_id": two["labels"]["stream_id"]})
    scrape = await Scrape.of(served)
    assert scrape.value("orch_events_ended_total") == 2
    assert scrape.value("orch_streams_active") == 0


async def test_one_that_is_bad_costs_no_other(served: Served) -> None:
    bad = changed(started(), "session.is_live", "yes")
    answer = await served.post("/events/batch", {"started": [bad, started()]})
    first, second = answer.json()["started"]
    assert (first["success"], second["success"]) == (False, True)
    assert "$.session.is_live" in first["error"]

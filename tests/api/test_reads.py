"""What a client reads: lists, their tags, and how all is."""

from datetime import datetime
from typing import Any

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Hold

from .bodies import started
from .conftest import Serve, Served

ENGINE = {
    "container_id": str,
    "container_name": str,
    "host": str,
    "port": int,
    "labels": dict,
    "forwarded": bool,
    "first_seen": str,
    "last_seen": str,
    "health_status": str,
    "last_health_check": str | None,
    "last_stream_usage": str | None,
    "last_cache_cleanup": str | None,
    "cache_size_bytes": int | None,
    "streams": list,
}


async def with_engines(serve: Serve, count: int, **settings: str) -> Served:
    served: Served = await serve(MIN_REPLICAS=str(count), **settings)
    await served.until(lambda s: sum(e.listed for e in s.context.state.engines.values()) == count)
    return served


async def test_an_engine_has_the_agreed_fields(serve: Serve) -> None:
    served = await with_engines(serve, 1)
    [engine] = (await served.get("/engines")).json()
    for name, kind in ENGINE.items():
        assert isinstance(engine[name], kind), name
    for name in ("first_seen", "last_seen", "last_health_check"):
        assert datetime.fromisoformat(engine[name]).tzinfo is not None
        assert "T" in engine[name]
    whole = (await served.get(f"/engines/{engine['container_id']}")).json()
    assert whole == {"engine": engine, "streams": []}
    [score] = (await served.get("/engines/health-score")).json()
    assert score == {
        "container_id": engine["container_id"],
        "host": engine["host"],
        "port": engine["port"],
        "health_score": 100,
        "stream_count": 0,
        "health_status": "healthy",
    }


async def test_an_unchanged_list_keeps_its_tag(serve: Serve) -> None:
    served = await with_engines(serve, 2)
    first = await served.get("/engines")
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "max-age=5"
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await served.get("/engines", headers={"If-None-Match": condition})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
    for condition in ('"other"', tag.strip('"'), ""):
        answer = await served.get("/engines", headers={"If-None-Match": condition})
        assert (answer.status_code, len(answer.json())) == (200, 2)


async def test_the_tag_changes_with_what_is_listed(serve: Serve) -> None:
    served = await with_engines(serve, 1)
    tag = (await served.get("/engines")).headers["ETag"]
    port = served.settings.port_range_host[0]
    await served.post("/events/stream_started", started(port=port))
    answer = await served.get("/engines", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    [engine] = [e for e in answer.json() if e["port"] == port]
    assert engine["streams"] == [f"{'a' * 40}|{'b' * 32}"]
    assert engine["last_stream_usage"] is not None


async def test_an_event_finds_its_engine_by_the_address_in_its_stat_url(serve: Serve) -> None:
    served = await with_engines(serve, 1)
    [engine] = (await served.get("/engines")).json()
    body = started(port=engine["port"], container_id="the-proxy's own")
    body["engine"] = {"host": "some-container", "port": 6878}
    await served.post("/events/stream_started", body)
    query = f"/streams?container_id={engine['container_id']}&status=started"
    [stream] = (await served.get(query)).json()
    assert stream["container_id"] == engine["container_id"]


async def test_streams_are_filtered_and_limited(served: Served) -> None:
    for n in range(5):
        await served.post("/events/stream_started", started(token=f"{n:032}"))
        if n < 4:
            await served.post("/events/stream_ended", {"stream_id": f"{'a' * 40}|{n:032}"})

    async def ids(query: str) -> list[int]:
        return [int(s["id"][-1]) for s in (await served.get(f"/streams{query}")).json()]

    assert sorted(await ids("")) == [0, 1, 2, 3, 4]
    assert await ids("?status=started") == [4]
    assert await ids("?status=ended") == [3, 2, 1, 0]
    assert await ids("?status=ended&limit=2") == [3, 2]
    assert await ids("?limit=0") == [4]
    assert await ids("?container_id=absent") == []


async def test_the_status_tells_numbers_as_numbers(serve: Serve) -> None:
    served = await with_engines(serve, 1, ENGINE_GRACE_PERIOD_S="7")
    status: dict[str, Any] = (await served.get("/orchestrator/status")).json()
    assert status["status"] == "healthy"
    assert status["engines"] == {"total": 1, "running": 1, "healthy": 1, "unhealthy": 0}
    assert status["capacity"] == {
        "total": 1,
        "used": 0,
        "available": 1,
        "max_replicas": 3,
        "min_replicas": 1,
        "at_least": 0,
    }
    assert status["provisioning"]["can_provision"] is True
    assert status["provisioning"]["blocked_reason"] is None
    assert status["config"] == {"auto_delete": True, "grace_period_s": 7, "target_image": ""}
    assert datetime.fromisoformat(status["timestamp"]).tzinfo is not None


async def test_an_engine_that_is_held_for_a_player_is_not_available(serve: Serve) -> None:
    served = await with_engines(serve, 1)
    state = served.context.state
    [engine] = state.engines.values()
    opening = Hold(Content("infohash", "a" * 40), served.context.clock(), opening="play")
    state.put_holds(engine.ref, (opening,))
    capacity = (await served.get("/orchestrator/status")).json()["capacity"]
    assert (capacity["used"], capacity["available"]) == (1, 0)
    assert "orch_engines_free 0.0" in (await served.get("/metrics")).text


async def test_the_agreed_metrics_are_there_from_the_first_scrape(served: Served) -> None:
    text = (await served.get("/metrics")).text
    for line in (
        'orch_engines_total{health_status="healthy"} 0.0',
        'orch_engines_total{health_status="unhealthy"} 0.0',
        'orch_engines_total{health_status="unknown"} 0.0',
        "orch_streams_active 0.0",
        "orch_events_started_total 0.0",
        "orch_events_ended_total 0.0",
        'orch_provision_total{kind="acestream"} 0.0',
        'orch_provision_duration_seconds_count{success="true"} 0.0',
        'orch_circuit_state{state="closed"} 1.0',
        'orch_circuit_state{state="open"} 0.0',
        'orch_circuit_state{state="half_open"} 0.0',
        'orch_communication_errors_total{error_type="timeout",source="engine"} 0.0',
        'orch_communication_errors_total{error_type="timeout",source="api"} 0.0',
        'orch_communication_errors_total{error_type="start_timeout",source="engine"} 0.0',
        'orch_communication_errors_total{error_type="timeout",source="runtime"} 0.0',
        'orch_communication_errors_total{error_type="playback",source="engine"} 0.0',
    ):
        assert f"\n{line}\n" in text


async def test_metrics_count_requests_by_route_not_by_path(served: Served) -> None:
    for path in ("/engines/a", "/engines/b", "/nowhere/a", "/nowhere/b"):
        await served.get(path)
    text = (await served.get("/metrics")).text
    counted = 'orch_api_requests_total{endpoint="%s",method="GET",status="404"} 2.0'
    assert counted % "/engines/{container_id}" in text
    assert counted % "unmatched" in text

"""/provision: an engine of one's own, or a refusal the client understands."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from acekeeper.api.status import totals
from acekeeper.api.views import Views
from acekeeper.core.facts import VpnEnded

from .bodies import started
from .conftest import Serve, Served

REFUSED_BODIES = [
    ({"image": "other"}, "image"),
    ({"env": {"CONF": "--flag"}}, "env"),
    ({"labels": {"a": 5}}, "$.labels"),
    ({"labels": [1]}, "$.labels"),
    ({"host_port": "19000"}, "$.host_port"),
    ({"host_port": 0}, "$.host_port"),
]


async def taken(served: Served, container_id: str) -> list[dict[str, Any]]:
    query = f"/streams?container_id={container_id}&status=started"
    found: list[dict[str, Any]] = (await served.get(query)).json()
    return found


async def test_an_engine_is_started_and_shown_as_taken_until_its_stream_starts(
    serve: Serve,
) -> None:
    served: Served = await serve()
    answer = await served.post("/provision/acestream", {"labels": {"who": "me"}, "env": {}})
    assert answer.status_code == 200
    given = answer.json()
    port = served.settings.port_range_host[0]
    assert given == {
        "container_id": given["container_id"],
        "container_name": f"engine-{port}",
        "host_http_port": port,
        "container_http_port": port,
        "container_https_port": served.settings.engine_https_base,
    }
    [placeholder] = await taken(served, given["container_id"])
    assert placeholder["id"].startswith("claim|")
    assert (placeholder["key"], placeholder["status"]) == ("", "started")
    assert (await served.get("/streams")).json() == []
    [engine] = (await served.get("/engines")).json()
    assert engine["labels"] == {"who": "me"}
    await served.post("/events/stream_started", started(port=port))
    [stream] = await taken(served, given["container_id"])
    assert stream["key"] == "a" * 40


async def test_the_other_route_answers_with_less(serve: Serve) -> None:
    served: Served = await serve()
    assert (await served.post("/provision")).json().keys() == {"container_id", "container_name"}


@pytest.mark.parametrize(("body", "named"), REFUSED_BODIES)
async def test_what_is_not_the_clients_to_choose_is_refused(
    served: Served, body: dict[str, Any], named: str
) -> None:
    answer = await served.post("/provision/acestream", body)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
    assert served.context.state.engines == {}


async def test_a_port_can_be_asked_for(serve: Serve) -> None:
    served: Served = await serve()
    port = served.settings.port_range_host[2]
    given = await served.post("/provision/acestream", {"host_port": port})
    assert given.json()["host_http_port"] == port
    for wrong in (port, 1024):
        answer = await served.post("/provision/acestream", {"host_port": wrong})
        assert answer.status_code == 409
        assert answer.json()["detail"]["can_retry"] is False


async def test_at_the_cap_a_refusal_has_the_full_detail(serve: Serve) -> None:
    served: Served = await serve(MAX_REPLICAS="1")
    await served.post("/provision/acestream")
    answer = await served.post("/provision/acestream")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    detail = answer.json()["detail"]
    assert detail == {
        "error": "Maximum capacity reached",
        "code": "max_capacity",
        "message": "all 1 engines are in use",
        "recovery_eta_seconds": detail["recovery_eta_seconds"],
        "can_retry": True,
        "should_wait": False,
    }
    assert 50 <= detail["recovery_eta_seconds"] <= 60
    status = (await served.get("/orchestrator/status")).json()["provisioning"]
    assert status["can_provision"] is False
    assert status["blocked_reason_details"]["code"] == "max_capacity"


async def test_without_a_tunnel_a_refusal_says_that_waiting_helps(served: Served) -> None:
    loop = served.context.loop
    loop.rules = replace(loop.rules, vpns=("de",))
    loop.tell(VpnEnded("de"))
    answer = await served.post("/provision/acestream")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "4"
    detail = answer.json()["detail"]
    assert detail == {
        "error": "No VPN is connected",
        "code": "vpn_disconnected",
        "message": detail["message"],
        "recovery_eta_seconds": 4,
        "can_retry": True,
        "should_wait": True,
    }
    assert "de is stopped" in detail["message"]
    context = replace(served.context, views=Views(loop.state, loop.rules))
    blocked = totals(context, context.clock()).provisioning.blocked_reason_details
    assert msgspec.to_builtins(blocked) == detail


async def test_a_missing_command_says_what_to_do(serve: Serve) -> None:
    served: Served = await serve(ENGINE_COMMAND="/nowhere/engine {http_port}")
    answer = await served.post("/provision/acestream")
    assert answer.status_code == 503
    assert answer.json()["detail"]["code"] in ("general_error", "circuit_breaker")


async def test_sweeps_say_what_they_found(serve: Serve) -> None:
    served: Served = await serve()
    await served.post("/provision/acestream")
    health = (await served.post("/sweeps/health")).json()
    assert health | {"seconds": 0} == {
        "checked": 1,
        "answered": 1,
        "silent": 0,
        "unhealthy": 0,
        "seconds": 0,
    }
    scale = (await served.post("/sweeps/scale")).json()
    assert (scale["checked"], scale["gone"], scale["adopted"]) == (1, 0, 0)
    streams = (await served.post("/sweeps/streams")).json()
    assert (streams["checked"], streams["ended"]) == (0, 0)


async def test_a_caller_cut_off_in_the_moment_of_its_answer_keeps_nothing(serve: Serve) -> None:
    served: Served = await serve()
    request = asyncio.create_task(served.post("/provision/acestream"))
    await served.until(lambda s: bool(s.context.state.requests))
    [work] = [
        t for t in asyncio.all_tasks() if getattr(t.get_coro(), "__name__", "") == "provision"
    ]
    work.add_done_callback(lambda _: request.cancel())
    with pytest.raises(asyncio.CancelledError):
        await request
    assert served.context.state.requests == {}
    assert [e.claim for e in served.context.state.engines.values()] == [None]

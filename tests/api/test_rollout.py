"""What is told while engines are outdated."""

import pytest

from acekeeper.core.build import Build
from acekeeper.core.facts import EnginesListed, Found, TimePassed
from acekeeper.core.model import Breaker

from ..requirements.scrape import Scrape
from .bodies import started
from .conftest import Serve, Served
from .test_reads import with_engines


async def outdated(serve: Serve) -> Served:
    """Two engines, one of them as it is to be. The other one stays, since somebody plays on it."""
    served = await with_engines(serve, 2, MAX_REPLICAS="2")
    loop = served.context.loop
    first = next(iter(loop.state.engines.values()))
    playing = started(container_id=first.container_id, port=first.slot.port)
    assert (await served.post("/events/stream_started", playing)).status_code == 202
    builds = [Build("old", "1"), Build("new", "2")]
    found = tuple(
        Found(e.slot, e.incarnation, e.container_id, False, e.addresses, build)
        for e, build in zip(loop.state.engines.values(), builds, strict=True)
    )
    slot = found[0].slot
    await loop.tell(EnginesListed(slot.host, loop.state.boot, loop.clock(), found, build=builds[1]))
    return served


async def test_the_status_counts_them_and_says_why_and_what_stops_it(serve: Serve) -> None:
    served = await outdated(serve)
    status = (await served.get("/orchestrator/status")).json()
    assert status["rollout"] == {"outdated": 1, "reasons": {"image_changed": 1}, "stopped": None}
    images = [engine["image"] for engine in (await served.get("/engines?include=all")).json()]
    assert sorted(images) == ["new", "old"]
    loop = served.context.loop
    loop.state.put_breaker(Breaker(5, loop.clock(), loop.clock()))
    await loop.tell(TimePassed())
    assert (await served.get("/orchestrator/status")).json()["rollout"]["stopped"] == "starts_fail"
    wrong = (await served.get("/health/ready")).json()["degraded"]
    assert "rollout: outdated engines are not replaced, since new ones do not get ready" in wrong
    scrape = await Scrape.of(served)
    assert scrape.value('acekeeper_engines_outdated{reason="image_changed"}') == 1
    assert scrape.value('acekeeper_engines_outdated{reason="unit_changed"}') == 0
    assert scrape.value("acekeeper_rollout_stopped") == 1


async def test_without_any_there_is_nothing_to_tell(serve: Serve) -> None:
    served = await with_engines(serve, 1)
    assert (await served.get("/orchestrator/status")).json()["rollout"] is None
    assert (await served.get("/engines")).json()[0]["image"] is None


async def test_the_image_of_an_engine_is_named_where_the_runtime_does_not(serve: Serve) -> None:
    served = await outdated(serve)
    named = [
        (await served.get(f"/containers/{e.container_id}")).json()["image"]
        for e in served.context.state.engines.values()
    ]
    assert named == ["old", "new"]


async def test_while_starts_lack_something_nothing_is_provisioned_and_it_is_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve(MIN_REPLICAS="0")

    async def lacks() -> str:
        return "the image is not here"

    async def provisioning() -> dict[str, object]:
        found: dict[str, object] = (await served.get("/orchestrator/status")).json()["provisioning"]
        return found

    assert (await provisioning())["can_provision"] is True
    monkeypatch.setattr(served.context.loop.runtime, "lacks", lacks)
    await served.context.loop.check_runtime()
    assert (await provisioning())["blocked_reason"] == "general_error"
    refused = await served.post("/provision/acestream")
    assert refused.status_code == 503
    assert "the image is not here" in refused.text


async def test_in_a_maintenance_it_is_not_under_way(serve: Serve) -> None:
    served = await outdated(serve)
    await served.post("/maintenance")
    assert (await served.get("/orchestrator/status")).json()["rollout"]["stopped"] == "maintenance"
    await served.client.delete("/maintenance")
    assert (await served.get("/orchestrator/status")).json()["rollout"]["stopped"] is None

"""Our engines in detail, and what they print."""

import os
from typing import Any

import pytest

from acekeeper.core.inspection import Inspection
from acekeeper.core.names import Slot
from acekeeper.errors import RuntimeUnavailable

from .bodies import started
from .conftest import Serve, Served


async def provisioned(serve: Serve, **labels: str) -> tuple[Served, str]:
    served: Served = await serve()
    answer = await served.post("/provision/acestream", {"labels": labels})
    return served, answer.json()["container_id"]


async def test_an_engine_is_told_in_detail(serve: Serve) -> None:
    served, container_id = await provisioned(serve, who="me")
    given = served.settings
    port = given.port_range_host[0]
    await served.post("/events/stream_started", started(port=port))
    await served.until(lambda s: all(e.ready for e in s.context.state.engines.values()))
    told = (await served.get(f"/containers/{container_id}")).json()
    os.kill(told["pid"], 0)  # it is there
    [engine] = served.context.state.engines.values()
    assert told["asked_at"] < told["started_at"] < told["ready_at"]
    times = {name: told[name] for name in ("asked_at", "started_at", "ready_at")}
    assert told == {
        "container_id": container_id,
        "container_name": f"engine-{port}",
        "host": "127.0.0.1",
        "ports": {
            "http": port,
            "https": given.engine_https_base,
            "p2p": given.engine_p2p_base,
            "api": given.engine_api_base,
        },
        "labels": {"who": "me"},
        "phase": "running",
        "health_status": "healthy",
        "start": engine.incarnation,
        **times,
        "streams": [f"{'a' * 40}|{'b' * 32}"],
        "unit": None,
        "status": "running",
        "pid": int(engine.incarnation.partition(":")[0]),
        "exit_code": None,
        "oom_killed": None,
        "image": None,
        "image_id": None,
        "image_digest": None,
        "created_at": None,
        "unread": None,
    }


async def test_what_is_not_ours_is_not_found(served: Served) -> None:
    for path in ("/containers/absent", "/containers/absent/logs", "/containers/engine-19000"):
        answer = await served.get(path)
        assert answer.status_code == 404
        assert path.split("/")[2] in answer.json()["detail"]


async def test_what_cannot_be_found_out_does_not_fail_the_rest(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, container_id = await provisioned(serve)

    async def unread(slot: Slot, _: str) -> Inspection:
        return Inspection(unit=slot.unit, unread="Podman did not answer within 5 s")

    async def unavailable(*_: object) -> str:
        raise RuntimeUnavailable("Podman did not answer within 5 s")

    monkeypatch.setattr(served.context.loop.runtime, "inspect", unread)
    monkeypatch.setattr(served.context.loop.runtime, "logs", unavailable)
    told = (await served.get(f"/containers/{container_id}")).json()
    assert told["unread"] == "Podman did not answer within 5 s"
    assert (told["unit"], told["image"]) == (f"engine@{told['ports']['http']}.service", None)
    logs = await served.get(f"/containers/{container_id}/logs")
    assert (logs.status_code, logs.headers["Retry-After"]) == (503, "2")


async def test_engines_are_found_by_a_label(serve: Serve) -> None:
    served, first = await provisioned(serve, match="final", who="me")
    await served.post("/provision", {"labels": {"match": "semifinal"}})

    async def found(**query: str) -> list[Any]:
        answer = await served.get("/by-label", params=query)
        return [container["container_id"] for container in answer.json()]

    assert await found(key="match", value="final") == [first]
    assert await found(key="match", value="") == []
    assert await found(key="absent", value="final") == []


async def test_the_end_of_what_an_engine_printed_is_read(serve: Serve) -> None:
    served, container_id = await provisioned(serve)
    port = served.settings.port_range_host[0]
    log = served.settings.state_dir / f"logs/engine-{port}.log"
    with log.open("a") as printed:
        printed.writelines(f"line {n}\n" for n in range(300))
    answer = await served.get(f"/containers/{container_id}/logs")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.text.splitlines() == [f"line {n}" for n in range(200, 300)]
    answer = await served.get(f"/containers/{container_id}/logs?tail=1")
    assert answer.text == "line 299\n"
    log.unlink()
    assert (await served.get(f"/containers/{container_id}/logs")).status_code == 404

"""Each run of the service is told in the log: how the last one ended, and what is set otherwise."""

import pytest

from acekeeper.app import service
from acekeeper.core.changes import Changes

from .conftest import Serve, Served
from .test_log import log

KINDS = {"service_started", "service_stopped", "settings_changed"}


async def told(served: Served) -> list[tuple[str, dict[str, object]]]:
    """Of this run, in order. All of it is on disk by then."""
    await served.context.loop.store.write(Changes())
    entries = [e for e in await log(served, limit=1000) if e["kind"] in KINDS]
    begun = next(n for n, entry in enumerate(entries) if entry["kind"] == "service_started")
    return [(entry["kind"], entry["data"]) for entry in entries[begun::-1]]


async def test_a_change_of_settings_is_told_by_their_names(serve: Serve) -> None:
    first: Served = await serve(API_KEY="the-first-key", MAX_REPLICAS="2")
    [(_, began)] = await told(first)
    assert "last_end" not in began
    await first.stop()

    again: Served = await serve(**first.environ | {"API_KEY": "another-key", "MAX_REPLICAS": "1"})
    (_, began), (_, changed) = await told(again)
    assert began["last_end"] == "stopped"
    assert changed == {"names": ["API_KEY", "MAX_REPLICAS"]}
    last: Served = await serve_as_before(again, serve)
    assert [kind for kind, _ in await told(last)] == ["service_started"]
    for path in last.settings.state_dir.rglob("*"):
        if path.is_file():
            assert b"-key" not in path.read_bytes(), path


async def test_a_run_that_failed_did_not_end_as_it_was_asked_to(serve: Serve) -> None:
    first: Served = await serve()
    await first.stop()
    with pytest.raises(RuntimeError, match="a defect"):
        async with service(first.settings, int):
            raise RuntimeError("a defect")
    last: Served = await serve_as_before(first, serve)
    [(_, began)] = await told(last)
    assert began["last_end"] == "killed"


async def serve_as_before(served: Served, serve: Serve) -> Served:
    await served.stop()
    again: Served = await serve(**served.environ)
    return again

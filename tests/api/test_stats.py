"""/streams/{id}/stats: what an engine said of a stream over time."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from acekeeper.core.changes import Changes
from acekeeper.core.facts import StreamsAsked
from acekeeper.core.model import Now, Sample
from acekeeper.errors import StoreFailed

from ..usecases.house import HeldStore
from .bodies import started
from .conftest import Serve, Served

ID = f"{'a' * 40}|{'b' * 32}"


async def stats(served: Served, stream_id: str = ID, **query: str) -> list[dict[str, Any]]:
    answer = await served.get(f"/streams/{quote(stream_id, safe='')}/stats", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def playing(serve: Serve, body: dict[str, Any] | None = None, **settings: str) -> Served:
    served: Served = await serve(MIN_REPLICAS="1", **settings)
    await served.until(lambda s: any(e.listed for e in s.context.state.engines.values()))
    port = served.settings.port_range_host[0]
    assert (
        await served.post("/events/stream_started", body or started(port=port))
    ).status_code == 202
    return served


async def sampled(served: Served, first: int, beyond: int, stream_id: str = ID) -> None:
    """As a sweep would tell it; each is a minute after the one before."""
    context = served.context
    stream = context.state.streams[stream_id]
    assert stream.slot is not None
    for n in range(first, beyond):
        sample = Sample(stream.started.after(60 * n), "dl", n, 100 * n, 7, 5000 * n, 6)
        await context.loop.tell(StreamsAsked(stream.slot, stream.incarnation, {stream.ref: sample}))


async def test_a_sweep_samples_what_plays(serve: Serve) -> None:
    """The engine is the emulator, and it is asked as in production."""
    served = await playing(serve)
    port = served.settings.port_range_host[0]
    url = f"http://127.0.0.1:{port}/ace/getstream?infohash={'a' * 40}&format=json&pid=x"
    given = (await served.outside(url))["response"]
    token = given["stat_url"].rpartition("/")[2]
    body = started(port=port, token=token)
    body["session"]["stat_url"] = given["stat_url"]
    await served.post("/events/stream_started", body)
    stream_id = body["labels"]["stream_id"]
    context = served.context
    stream = context.state.streams[stream_id]
    then = Now(stream.started.wall - 60, stream.started.mono - 60)  # a sweep leaves young ones be
    context.state.put_stream(replace(stream, started=then))
    await served.post("/sweeps/streams")
    [sample] = await stats(served, stream_id)
    assert sample.keys() == {
        "ts",
        "peers",
        "speed_down",
        "speed_up",
        "downloaded",
        "uploaded",
        "status",
    }
    assert sample["status"] in ("prebuf", "dl")
    assert datetime.fromisoformat(sample["ts"]).tzinfo is not None


async def test_the_newest_are_told_or_all_since_a_moment(serve: Serve) -> None:
    served = await playing(serve, STATS_HISTORY_MAX="4")
    assert await stats(served) == []
    await sampled(served, 0, 3)
    assert [s["peers"] for s in await stats(served)] == [0, 1, 2]
    await sampled(served, 3, 10)
    found = await stats(served)
    assert [s["peers"] for s in found] == [6, 7, 8, 9]
    assert found[0] == {
        "ts": found[0]["ts"],
        "peers": 6,
        "speed_down": 600,
        "speed_up": 7,
        "downloaded": 30_000,
        "uploaded": 6,
        "status": "dl",
    }
    begun = datetime.fromisoformat(found[0]["ts"]) - timedelta(minutes=6)
    for n in (0, 3, 7, 9):
        since = (begun + timedelta(minutes=n, seconds=-1)).isoformat()
        assert [s["peers"] for s in await stats(served, since=since)] == list(range(n, 10))
    assert await stats(served, since=(begun + timedelta(hours=1)).isoformat()) == []


async def test_what_is_on_its_way_to_the_disk_is_told_and_nothing_twice(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await playing(serve, STATS_HISTORY_MAX="6")
    await sampled(served, 0, 3)
    loop, disk = served.context.loop, served.context.loop.store
    assert loop.unsaved.of(ID) == []  # the disk has them
    held = HeldStore()

    def samples() -> list[Changes]:
        return [changes for changes, _ in held.writes if changes.samples]

    monkeypatch.setattr(loop, "store", held)
    told = asyncio.create_task(sampled(served, 3, 5))
    await served.until(lambda _: len(samples()) == 1)
    assert [s["peers"] for s in await stats(served)] == [0, 1, 2, 3]
    await disk.write(samples()[0])  # and we do not know it yet
    assert [s["peers"] for s in await stats(served)] == [0, 1, 2, 3]
    held.release()
    await served.until(lambda _: len(samples()) == 2)
    await disk.write(samples()[1])
    assert [s["peers"] for s in await stats(served)] == [0, 1, 2, 3, 4]
    held.release()
    await told
    assert loop.unsaved.of(ID) == []
    assert [s["peers"] for s in await stats(served)] == [0, 1, 2, 3, 4]


async def test_where_the_disk_cannot_be_read_it_is_said_and_no_part_taken_for_all(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await playing(serve)
    await sampled(served, 0, 2)

    async def unread(*_: object) -> None:
        raise StoreFailed("the database was not read within 5 s")

    monkeypatch.setattr(served.context.history, "samples", unread)
    answer = await served.get(f"/streams/{quote(ID, safe='')}/stats")
    assert answer.status_code == 503
    assert "was not read" in answer.json()["detail"]


async def test_of_an_ended_stream_they_are_told_too_and_of_an_unknown_one_none(
    serve: Serve,
) -> None:
    served = await playing(serve)
    await sampled(served, 0, 3)
    before = await stats(served)
    await served.post("/events/stream_ended", {"stream_id": ID})
    assert await stats(served) == before
    answer = await served.get("/streams/absent/stats")
    assert answer.status_code == 404
    assert "absent" in answer.json()["detail"]


@pytest.mark.parametrize("stream_id", ["http://a/b.acelive?x=1&y#z|t", "a%2Fb", "ä|100 %", "a//b"])
async def test_an_id_may_hold_anything(serve: Serve, stream_id: str) -> None:
    served: Served = await serve()
    body = started(labels={"stream_id": stream_id})
    assert (await served.post("/events/stream_started", body)).status_code == 202
    assert await stats(served, stream_id) == []

"""/log: what happened."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acekeeper.core.facts import TimePassed
from acekeeper.core.happenings import HAPPENINGS, REFUSALS, RELIEFS, WARNINGS

from .bodies import started
from .conftest import Served

ID = f"{'a' * 40}|{'b' * 32}"


async def log(served: Served, **query: Any) -> list[dict[str, Any]]:
    answer = await served.get("/log", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_what_happened_is_told_the_newest_first(served: Served) -> None:
    await served.post("/events/stream_started", started())
    await served.post("/events/stream_ended", {"stream_id": ID, "reason": "eof"})
    ended, begun = await log(served, limit=2)
    assert ended == {
        "id": ended["id"],
        "ts": ended["ts"],
        "kind": "stream_ended",
        "mood": None,
        "engine": None,
        "stream": ID,
        "data": {
            "reason": "eof",
            "reaped": False,
            "failed": False,
            "seconds": ended["data"]["seconds"],
        },
    }
    assert (begun["kind"], begun["data"]) == ("stream_started", {"managed": False})
    assert begun["id"] < ended["id"]
    assert datetime.fromisoformat(ended["ts"]).tzinfo is not None
    assert [entry["kind"] for entry in await log(served, kind="log_begun")] == ["log_begun"]


async def test_what_is_not_well_is_told_as_bad_and_what_is_well_again_as_good(
    served: Served,
) -> None:
    told = WARNINGS | REFUSALS | RELIEFS
    assert told <= HAPPENINGS.keys()
    assert not (WARNINGS | REFUSALS) & RELIEFS
    loop = served.context.loop
    for kind in ("network_absent", "play_failed", "source_answers", "network_changed"):
        loop.state.tell(kind)
    loop.tell(TimePassed())
    await served.post("/events/stream_started", started())  # what was told before is on disk too
    moods = {entry["kind"]: entry["mood"] for entry in await log(served)}
    assert (
        moods.items()
        >= {
            "network_absent": "bad",
            "play_failed": "bad",
            "source_answers": "good",
            "network_changed": None,
        }.items()
    )


async def test_it_is_asked_for_by_time(served: Served) -> None:
    await served.post("/events/stream_started", started())
    for since in ("2001-01-01T00:00:00Z", "2001-01-01T02:00:00+02:00", "2001-01-01T00:00:00"):
        assert len(await log(served, since=since)) >= 3
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert await log(served, since=later) == []


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=", "limit=0", "limit=1001", "engine=nonsense"]
)
async def test_a_bad_question_names_what_is_bad(served: Served, query: str) -> None:
    answer = await served.get(f"/log?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(query.partition("=")[0])


async def test_a_last_event_id_that_is_none_of_ours_is_refused(served: Served) -> None:
    for wrong in ("x", "-1", "1.5", "9" * 30, "²"):
        answer = await served.get("/log/live", headers={"Last-Event-ID": wrong.encode()})
        assert answer.status_code == 400
        assert "Last-Event-ID" in answer.json()["detail"]

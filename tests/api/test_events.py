"""/events: strict in what is accepted, and on disk when it says so."""

import json
from typing import Any

import pytest

from .bodies import changed, started
from .conftest import Serve, Served

ID = f"{'a' * 40}|{'b' * 32}"
BAD = [
    ("engine", ..., "engine"),
    ("engine", None, "$.engine"),
    ("engine.host", "", "$.engine.host"),
    ("engine.port", "19000", "$.engine.port"),
    ("engine.port", 0, "$.engine.port"),
    ("engine.port", 65536, "$.engine.port"),
    ("engine.port", 19000.5, "$.engine.port"),
    ("engine.port", True, "$.engine.port"),
    ("stream", [], "$.stream"),
    ("stream.key_type", "magnets", "$.stream.key_type"),
    ("stream.key", "", "$.stream.key"),
    ("stream.key", "k" * 4097, "$.stream.key"),
    ("stream.key", 5, "$.stream.key"),
    ("session.is_live", True, "$.session.is_live"),
    ("session.is_live", "1", "$.session.is_live"),
    ("session.is_live", ..., "$.session"),
    ("session.stat_url", None, "$.session.stat_url"),
    ("session.stat_url", "http://[", "$.session.stat_url"),
    ("session.stat_url", "http://localhost:99999/", "$.session.stat_url"),
    ("session.playback_session_id", ["x"], "$.session.playback_session_id"),
    ("labels", {"stream_id": 5}, "$.labels"),
    ("labels", {str(n): "" for n in range(65)}, "$.labels"),
    ("container_id", 7, "$.container_id"),
]


async def streams(served: Served, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await served.get(f"/streams{query}")).json()
    return found


@pytest.mark.parametrize(("path", "value", "named"), BAD)
async def test_a_bad_field_is_refused_with_its_path(
    served: Served, path: str, value: object, named: str
) -> None:
    answer = await served.post("/events/stream_started", changed(started(), path, value))
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
    assert await streams(served) == []


async def test_what_a_client_may_add_or_leave_out_is_taken(served: Served) -> None:
    body = started(new_field={"of": "a later client"})
    assert (await served.post("/events/stream_started", body)).status_code == 202
    without = changed(changed(started(key="c" * 40), "labels", ...), "container_id", ...)
    answer = await served.post("/events/stream_started", without)
    assert answer.json() == {"status": "accepted", "stream_id": f"{'c' * 40}|{'b' * 32}"}


async def test_a_long_key_is_taken_with_the_id_made_of_it(served: Served) -> None:
    """As of a magnet link or of an address: the client's own id has it in it."""
    body = started(key="magnet:?xt=urn:btih:" + "a" * 3000)
    answer = await served.post("/events/stream_started", body)
    assert answer.status_code == 202
    stream_id = answer.json()["stream_id"]
    assert stream_id == body["labels"]["stream_id"]
    await served.post("/events/stream_ended", {"stream_id": stream_id})
    assert [s["status"] for s in await streams(served)] == ["ended"]


async def test_a_body_must_say_that_it_is_json_and_be_short_enough(serve: Serve) -> None:
    served: Served = await serve(MAX_BODY_BYTES="1024")
    body = json.dumps(started()).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        answer = await served.client.post(
            "/events/stream_started", content=body, headers={"Content-Type": kind}
        )
        assert answer.status_code == 415
    json_type = {"Content-Type": "Application/JSON; charset=utf-8"}
    taken = await served.client.post("/events/stream_started", content=body, headers=json_type)
    assert taken.status_code == 202
    long = await served.post("/events/stream_started", started(container_id="x" * 1024))
    assert long.status_code == 413


MALFORMED = {
    "not UTF-8": b'{"stream_id": "\xff"}',
    "a surrogate": b'{"stream_id": "\\ud800"}',
    "an encoded surrogate": b'{"stream_id": "\xed\xa0\x80"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "no number": b'{"other": NaN}',
    "deep lists": b'{"other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"other": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_json_is_refused(served: Served, body: bytes) -> None:
    answer = await served.client.post("/events/stream_ended", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["detail"]


async def test_malformed_text_in_a_batch_fails_alone(served: Served) -> None:
    body = b'{"ended": [{"stream_id": "\xff"}, {"stream_id": "absent"}]}'
    answer = await served.client.post("/events/batch", content=body, headers=JSON)
    assert answer.status_code == 200
    first, second = answer.json()["ended"]
    assert (first["success"], "UTF-8" in first["error"]) == (False, True)
    assert second["error"] == "stream not found"


async def test_a_batch_nested_too_deeply_is_refused(served: Served) -> None:
    body = b'{"ended": [' + MALFORMED["deep lists"] + b"]}"
    answer = await served.client.post("/events/batch", content=body, headers=JSON)
    assert answer.status_code == 400


async def test_a_stream_starts_and_ends_once(served: Served) -> None:
    for _ in range(2):
        answer = await served.post("/events/stream_started", started())
        assert answer.json() == {"status": "accepted", "stream_id": ID}
    [stream] = await streams(served, "?status=started")
    assert (stream["id"], stream["status"], stream["is_live"]) == (ID, "started", True)
    assert stream["ended_at"] is None
    assert stream["container_id"] == ""  # no engine of ours is there
    for _ in range(2):
        answer = await served.post("/events/stream_ended", {"stream_id": ID, "reason": "eof"})
        assert answer.json() == {"status": "accepted", "stream_id": ID}
    [stream] = await streams(served)
    assert (stream["status"], stream["reason"]) == ("ended", "eof")
    assert stream["ended_at"].endswith("Z")


async def test_an_end_that_comes_first_is_remembered(served: Served) -> None:
    early = await served.post("/events/stream_ended", {"stream_id": ID, "reason": "eof"})
    assert (early.status_code, early.json()["stream_id"]) == (202, None)
    await served.post("/events/stream_started", started())
    assert [s["status"] for s in await streams(served)] == ["ended"]


async def test_an_end_that_names_nothing_ends_nothing(served: Served) -> None:
    await served.post("/events/stream_started", started())
    answer = await served.post("/events/stream_ended", {"container_id": "", "reason": "eof"})
    assert answer.json() == {"status": "accepted", "stream_id": None}
    assert [s["status"] for s in await streams(served)] == ["started"]


async def test_a_batch_gives_one_result_per_event_in_order(served: Served) -> None:
    good, other = started(), started(key="c" * 40)
    bad = changed(started(), "engine.port", "x")
    answer = await served.post(
        "/events/batch",
        {
            "started": [good, bad, 7, other],
            "ended": [{"stream_id": ID}, {"stream_id": "absent"}, {"stream_id": 5}],
        },
    )
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["started"]
    assert first == {"success": True, "stream_id": ID}
    assert (second["success"], "$.engine.port" in second["error"]) == (False, True)
    assert third["success"] is False
    assert fourth["success"] is True
    ended = answer.json()["ended"]
    assert ended[0] == {"success": True, "stream_id": ID}
    assert ended[1] == {"success": False, "error": "stream not found"}
    assert (ended[2]["success"], "$.stream_id" in ended[2]["error"]) == (False, True)


async def test_a_batch_has_a_limit_and_may_be_empty(serve: Serve) -> None:
    served: Served = await serve(MAX_BATCH_EVENTS="2")
    assert (await served.post("/events/batch", {})).json() == {"started": [], "ended": []}
    too_many = {"started": [started()], "ended": [{}, {}]}
    assert (await served.post("/events/batch", too_many)).status_code == 413
    assert await streams(served) == []


async def test_an_event_that_cannot_be_kept_is_not_acknowledged(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acekeeper.adapters.opened.save", full)
    answer = await served.post("/events/stream_started", started())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    result = (await served.post("/events/batch", {"started": [started(key="c" * 40)]})).json()
    assert result["started"][0]["success"] is False
    # It is not lost either: it counts, and the store goes on trying.
    assert len(await streams(served, "?status=started")) == 2
    assert (await served.get("/health/ready")).json()["degraded"][0].startswith("store: ")
    monkeypatch.undo()
    await served.until(lambda s: not s.context.degraded())

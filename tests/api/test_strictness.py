"""What no schema can say of a request, and what a framework would let through or choke on."""

import asyncio
import json
from typing import Any

import pytest

from .bodies import changed, started
from .conftest import Serve, Served

JSON = {"Content-Type": "application/json"}
READERS = [
    "/events/stream_started",
    "/events/stream_ended",
    "/events/batch",
    "/provision/acestream",
]


async def raw(served: Served, path: str, body: bytes, kind: str = "application/json") -> Any:
    return await served.client.post(path, content=body, headers={"Content-Type": kind})


NO_JSON = {
    "nothing": b" ",
    "NaN": b'{"x": NaN}',
    "infinity": b'{"x": -Infinity}',
    "two values": b"{} {}",
    "a comment": b"{} // of mine",
    "single quotes": b"{'x': 1}",
    "a trailing comma": b'{"x": 1,}',
    "a lone surrogate": b'{"x": "\\udc00"}',
    "a control character": b'{"x": "\x00"}',
    "UTF-16": '{"x": 1}'.encode("utf-16"),
    "an array": b"[]",
    "a number": b"1e9",
    "true": b"true",
    "deep nesting": b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "half of it": b'{"started": [',
}


@pytest.mark.parametrize("path", READERS)
async def test_what_is_no_json_object_is_refused(served: Served, path: str) -> None:
    for what, body in NO_JSON.items():
        answer = await raw(served, path, body)
        assert answer.status_code == 400, what
        assert isinstance(answer.json()["detail"], str), what


HUGE = ["1" + "0" * 400, "1e400", "-1", "18446744073709551616", "4294967297", "0.5", "1.0", "1e3"]


@pytest.mark.parametrize("number", HUGE)
async def test_a_number_that_is_no_port_is_refused_with_its_path(
    served: Served, number: str
) -> None:
    body = json.dumps(started()).replace('"port": 19998', f'"port": {number}')
    answer = await raw(served, "/events/stream_started", body.encode())
    assert answer.status_code == 400
    assert "$.engine.port" in answer.json()["detail"] or "out of range" in answer.json()["detail"]
    answer = await raw(served, "/provision/acestream", b'{"host_port": %b}' % number.encode())
    assert answer.status_code == 400
    assert served.context.state.requests == {}


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**30])
async def test_an_integer_of_any_size_says_whether_a_stream_is_live(
    served: Served, number: int
) -> None:
    answer = await served.post(
        "/events/stream_started", changed(started(), "session.is_live", number)
    )
    assert answer.status_code in (202, 400)


async def test_of_a_key_given_twice_the_last_counts(served: Served) -> None:
    body = b'{"stream_id": "first", "stream_id": 5, "stream_id": "last", "reason": "eof"}'
    await served.post("/events/stream_started", started(labels={"stream_id": "last"}))
    answer = await raw(served, "/events/stream_ended", body)
    assert answer.status_code == 400  # every one of them is looked at
    body = body.replace(b"5", b'"second"')
    assert (await raw(served, "/events/stream_ended", body)).json()["stream_id"] == "last"


async def test_text_of_any_kind_comes_back_as_it_was(served: Served) -> None:
    for text in ("\x00", "a\nb", "\u202e", "é😀", "'; DROP TABLE streams; --", "../../etc", "%00"):
        await served.post("/events/stream_started", started(labels={"stream_id": text}))
        listed = (await served.get("/streams?status=started")).json()
        assert text in {stream["id"] for stream in listed}
        ended = await served.post("/events/stream_ended", {"stream_id": text})
        assert ended.json()["stream_id"] == text


PATHS = ["%00", "a%00b", "%ff", "%2e%2e", "..%2f..%2fetc", "a" * 5000, "%F0%9F%98%80", "%"]


@pytest.mark.parametrize("name", PATHS)
async def test_a_name_in_a_path_is_only_a_name(served: Served, name: str) -> None:
    for path in (f"/engines/{name}", f"/nowhere/{name}"):
        answer = await served.get(path)
        assert answer.status_code in (400, 404), path
        assert len(answer.json()["detail"]) < 300
    assert (await served.post(f"/sweeps/{name}")).status_code in (400, 404)


QUERIES = [
    ("/engines", "include=null", "include"),
    ("/engines", "include=ALL", "include"),
    ("/engines", "include=", "include"),
    ("/engines", "include=all&include=all", "include"),
    ("/streams", "status=null", "status"),
    ("/streams", "status=", "status"),
    ("/streams", "status=started&status=ended", "status"),
    ("/streams", "container_id=a&limit=1&container_id=b", "container_id"),
    ("/streams", "limit=null", "limit"),
    ("/streams", "limit=1e3", "limit"),
    ("/streams", "limit=5.0", "limit"),
    ("/streams", "limit=%D9%A5", "limit"),
    ("/log", "since=NULL", "since"),
    ("/log", "since=0.5", "since"),
    ("/log", "since=1795649778", "since"),
    ("/log", "since=2026-13-45T00:00:00Z", "since"),
    ("/log", "since=yesterday", "since"),
    ("/streams", "limit=", "limit"),
    ("/streams", "limit=%00", "limit"),
    ("/streams", "limit=-1", "limit"),
    ("/streams", "limit=10001", "limit"),
    ("/streams", "limit=nan", "limit"),
    ("/streams", "limit=" + "9" * 5000, "limit"),
    ("/streams", "limit=1&" * 500 + "limit=1", "limit"),
]


@pytest.mark.parametrize(("path", "query", "named"), QUERIES, ids=lambda said: said[:40])
async def test_a_parameter_is_one_of_those_it_may_be_or_refused(
    served: Served, path: str, query: str, named: str
) -> None:
    answer = await served.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{named}: ")
    assert len(answer.json()["detail"]) < 300


async def test_a_long_query_and_one_that_is_no_text_find_nothing(served: Served) -> None:
    for value in ("x" * 20_000, "%00", "%ff%fe", "%F0%9F%98%80", "null"):
        assert (await served.get(f"/streams?container_id={value}")).json() == []
    assert (await served.get("/streams?" + "&".join(f"x{n}" for n in range(2000)))).json() == []


async def test_a_body_is_bounded_however_it_comes(serve: Serve) -> None:
    served: Served = await serve(MAX_BODY_BYTES="1024")

    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 100

    for path in READERS:
        answer = await raw(served, path, b" " * 1025)
        assert answer.status_code == 413, path
        answer = await served.client.post(path, content=chunks(), headers=JSON)
        assert answer.status_code == 413, path


KINDS = ["", "text/plain", "application/json5", "application/x-www-form-urlencoded", "json", "*/*"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_that_does_not_say_it_is_json_is_not_read(served: Served, kind: str) -> None:
    for path in READERS:
        assert (await raw(served, path, b"{}", kind)).status_code == 415, path
    assert served.context.state.requests == {}


async def test_bad_events_at_once_do_no_harm_to_good_ones(served: Served) -> None:
    bad = [raw(served, "/events/stream_started", body) for body in NO_JSON.values()]
    good = [served.post("/events/stream_started", started(token=f"{n:032}")) for n in range(20)]
    codes = [answer.status_code for answer in await asyncio.gather(*bad, *good)]
    assert codes == [400] * len(bad) + [202] * len(good)

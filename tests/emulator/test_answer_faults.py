"""Faults of what is answered."""

import json
import time

import pytest

from .conftest import Play
from .running import (
    CONTENT,
    GETSTREAM,
    MORE_THAN_IN_HAND,
    OTHER,
    UNKNOWN,
    Emulator,
    path_of,
    until,
)


def test_a_load_fails(emulator: Emulator) -> None:
    emulator.fault("load_fails", content=CONTENT)
    reply = emulator.get(GETSTREAM + CONTENT)
    assert (reply.status, reply.json["error"]) == (200, "failed to load content")
    assert emulator.get("/ace/getstream", infohash=CONTENT).status == 500
    assert emulator.count("sessions_opened") == 0
    assert emulator.open(OTHER)


def test_stat_knows_nothing_while_bytes_flow(emulator: Emulator) -> None:
    session, other = emulator.open(), emulator.open(OTHER)
    reader = emulator.read(session)
    emulator.fault("stat_unknown", content=CONTENT)
    assert emulator.stat(session) == UNKNOWN
    assert emulator.stat(other)["error"] is None
    assert len(reader.take(MORE_THAN_IN_HAND)) == MORE_THAN_IN_HAND
    assert emulator.stop(session)["response"] == "ok"
    reader.close()


def test_a_stop_knows_nothing_and_stops_nothing(emulator: Emulator) -> None:
    session, other = emulator.open(), emulator.open(OTHER)
    emulator.fault("stop_unknown", content=CONTENT)
    assert emulator.stop(session) == UNKNOWN
    assert emulator.stop(other)["response"] == "ok"
    assert emulator.stat(session)["error"] is None
    emulator.admin("DELETE", "/faults")
    assert emulator.stop(session)["response"] == "ok"


def test_a_broadcast_stands_still_while_bytes_flow(emulator: Emulator, play: Play) -> None:
    session = emulator.open()
    emulator.fault("live_frozen", amount=4000)
    frozen = emulator.stat(session)["response"]
    position = {name: int(value) for name, value in frozen["livepos"].items()}
    assert 4000 <= time.time() - position["live_last"] < 4060
    assert position["live_first"] < position["pos"] < position["live_last"] == position["last"]
    reader = emulator.read(session)
    assert len(reader.take(MORE_THAN_IN_HAND)) == MORE_THAN_IN_HAND
    until(lambda: emulator.stat(session)["response"]["downloaded"] > frozen["downloaded"])
    assert emulator.stat(session)["response"]["livepos"] == frozen["livepos"]
    reader.close()


def test_the_network_is_away(emulator: Emulator) -> None:
    emulator.fault("offline")
    answer = emulator.get("/server/api", api_version="3", method="get_network_connection_status")
    assert answer.json == {"result": {"connected": False}}


def test_access_is_denied(emulator: Emulator) -> None:
    session = emulator.open()
    content = emulator.get(path_of(session["playback_url"])).headers["Location"]
    emulator.fault("deny_access")
    for reply in (emulator.status(), emulator.get(path_of(content))):
        assert (reply.status, reply.body) == (403, b"deny access")


@pytest.mark.parametrize("kind", ["html", "bad_json"])
def test_a_document_is_none(emulator: Emulator, kind: str) -> None:
    whole = emulator.status().body
    emulator.fault(kind, content=CONTENT)
    assert emulator.status().body == whole
    assert emulator.open(OTHER)
    emulator.fault(kind)
    for reply in (emulator.status(), emulator.get(GETSTREAM + CONTENT)):
        assert reply.status == 200
        with pytest.raises(json.JSONDecodeError):
            assert reply.json
    is_page = emulator.status().headers["Content-Type"] == "text/html"
    assert is_page is (kind == "html")


def test_numbers_are_booleans(emulator: Emulator) -> None:
    emulator.fault("bool_is_live", content=CONTENT)
    session, other = emulator.open(), emulator.open(OTHER)
    for answer in (session, emulator.stat(session)["response"]):
        assert (answer["is_live"], answer["is_encrypted"]) == (True, False)
        assert type(answer["is_live"]) is type(answer["is_encrypted"]) is bool
    assert type(other["is_live"]) is int


def test_playback_is_elsewhere(emulator: Emulator) -> None:
    emulator.fault("wrong_host", content=CONTENT)
    session, other = emulator.open(), emulator.open(OTHER)
    assert session["playback_url"].startswith("http://172.17.0.2:6878/ace/r/")
    assert session["stat_url"].startswith(f"http://127.0.0.1:{emulator.port}/")
    assert other["playback_url"].startswith(f"http://127.0.0.1:{emulator.port}/")
    redirect = emulator.get("/ace/getstream", infohash=CONTENT)
    assert redirect.headers["Location"].startswith("http://172.17.0.2:6878/ace/r/")

"""Faults and the port that sets them."""

import signal
import time
from contextlib import ExitStack
from typing import Any

import pytest

from .conftest import Play
from .running import BURST, CONTENT, OTHER, Emulator, are_silent, path_of, until

STATUS = "/server/api?api_version=3&method=get_status"
MORE_THAN_IN_HAND = BURST + 100_000
GETSTREAM = "/ace/getstream?format=json&infohash="


def test_a_hung_engine_accepts_and_says_nothing(emulator: Emulator, play: Play) -> None:
    reader = play(emulator)
    reader.start()
    emulator.fault("hang")
    with emulator.asked(STATUS) as service, emulator.asked(GETSTREAM + OTHER) as playback:
        assert are_silent(service, playback)
        reader.runs_dry()
        assert emulator.admin("DELETE", "/faults").json == {"faults": []}
        assert service.recv(15) == playback.recv(15) == b"HTTP/1.1 200 OK"
    assert len(reader.take(100_000)) == 100_000


def test_a_fault_lasts_as_long_as_it_was_given(emulator: Emulator) -> None:
    began = time.monotonic()
    emulator.fault("hang", duration_s=0.7)
    [fault] = emulator.admin("GET", "/faults").json["faults"]
    assert 0 < fault["remaining_s"] <= 0.7
    assert emulator.status().status == 200
    assert time.monotonic() - began >= 0.7
    assert emulator.admin("GET", "/faults").json == {"faults": []}


def test_a_hung_api_leaves_streams_alone(emulator: Emulator, play: Play) -> None:
    reader = play(emulator)
    reader.start()
    emulator.fault("hang_api")
    with emulator.asked(STATUS) as service, emulator.asked(GETSTREAM + OTHER) as playback:
        assert are_silent(service, playback)
        assert len(reader.take(MORE_THAN_IN_HAND)) == MORE_THAN_IN_HAND


def test_hung_playback_leaves_the_service_alone(emulator: Emulator) -> None:
    session = emulator.open()
    emulator.fault("hang_playback")
    assert emulator.status().status == 200
    paths = [path_of(session[url]) for url in ("playback_url", "stat_url", "command_url")]
    with ExitStack() as stack:
        asked = [stack.enter_context(emulator.asked(p)) for p in (GETSTREAM + CONTENT, *paths)]
        assert are_silent(*asked)


def test_playback_of_one_content_hangs(emulator: Emulator) -> None:
    emulator.fault("hang_playback", content=CONTENT)
    assert emulator.open(OTHER)
    by_id = f"/ace/getstream?id={CONTENT}"  # a fault may mean a content id as well
    with emulator.asked(GETSTREAM + CONTENT) as client, emulator.asked(by_id) as other:
        assert are_silent(client, other)


def test_a_stalled_stream_stays_open_and_brings_nothing(emulator: Emulator, play: Play) -> None:
    session = emulator.open()
    reader, other = emulator.read(session), play(emulator, OTHER)
    reader.take(BURST)
    emulator.fault("stall", content=CONTENT)
    reader.runs_dry()
    stalled = emulator.stat(session)["response"]
    assert stalled["speed_down"] == stalled["speed_up"] == 0
    assert emulator.stat(session)["response"]["downloaded"] == stalled["downloaded"]
    assert emulator.stat(session)["response"]["livepos"] == stalled["livepos"]
    assert len(other.take(MORE_THAN_IN_HAND)) == MORE_THAN_IN_HAND
    began = time.monotonic()
    emulator.admin("DELETE", "/faults/stall")
    # 0.45 s of it, less a frame and the tick in which it was mended: nothing is made up for.
    assert len(reader.take(214_000)) == 214_000
    assert time.monotonic() - began >= 0.2
    until(lambda: emulator.stat(session)["response"]["downloaded"] > stalled["downloaded"])
    reader.close()


def test_a_reader_may_leave_a_stalled_stream(emulator: Emulator) -> None:
    emulator.fault("stall")
    reader = emulator.read(emulator.open())
    reader.start()
    reader.close()
    until(lambda: emulator.count("readers") == 0)


def test_a_stall_holds_up_the_burst_too(emulator: Emulator, play: Play) -> None:
    emulator.fault("stall")
    reader = play(emulator)
    reader.runs_dry()
    assert emulator.count("bytes_sent") == 0


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({}, 1),
        ({"exit_code": 3}, 3),
        ({"signal": "SIGKILL"}, -signal.SIGKILL),
        ({"signal": "SIGSEGV"}, -signal.SIGSEGV),
        ({"signal": "SIGTERM"}, 0),
    ],
)
def test_it_crashes_when_told(emulator: Emulator, how: dict[str, object], code: int) -> None:
    assert emulator.admin("POST", "/crash", how).status == 200
    assert emulator.exit_code() == code


def test_faults_are_shown_and_cleared_by_kind(emulator: Emulator) -> None:
    emulator.fault("stall", content=CONTENT)
    emulator.fault("stall", duration_s=60)
    emulator.fault("hang_playback")
    emulator.fault("stall", content=CONTENT.upper())  # in place of the first
    shown = emulator.admin("GET", "/faults").json["faults"]
    assert [(fault["kind"], fault["content"]) for fault in shown] == [
        ("stall", None),
        ("hang_playback", None),
        ("stall", CONTENT),
    ]
    left = emulator.admin("DELETE", "/faults/stall").json
    assert left == {"faults": [{"kind": "hang_playback", "content": None, "remaining_s": None}]}


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/faults", {"kind": "flood"}, "kind must be one of hang, hang_api, hang_playback, stall"),
        ("/faults", {}, "kind must be"),
        ("/faults", {"kind": ["hang"]}, "kind must be"),
        ("/faults", [], "not a JSON object"),
        ("/faults", {"kind": "hang", "content": CONTENT}, "whole engine"),
        ("/faults", {"kind": "stall", "content": "abc"}, "40 hex digits"),
        ("/faults", {"kind": "stall", "duration_s": 0}, "duration_s must be"),
        ("/faults", {"kind": "stall", "duration_s": True}, "duration_s must be"),
        ("/faults", {"kind": "stall", "duration": 5}, "unknown: duration; known: content"),
        ("/crash", {"exit_code": 256}, "exit_code must be"),
        ("/crash", {"signal": "SIGNIFICANT"}, "signal must be"),
        ("/lose-sessions", {"content": 5}, "40 hex digits"),
    ],
)
def test_what_the_admin_port_refuses(shared: Emulator, path: str, body: Any, reason: str) -> None:
    reply = shared.admin("POST", path, body)
    assert reply.status == 400
    assert reason in reply.json["error"]
    assert shared.admin("GET", "/faults").json == {"faults": []}


def test_the_admin_port_knows_its_paths(shared: Emulator) -> None:
    for method, path in (("GET", "/"), ("DELETE", "/faults/flood"), ("GET", "/crash")):
        assert shared.admin(method, path).status == 404

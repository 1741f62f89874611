"""The port that sets faults."""

import signal
from typing import Any

import pytest

from .conftest import Play
from .running import CONTENT, OTHER, Emulator


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
    assert left["faults"] == [
        {"kind": "hang_playback", "content": None, "amount": None, "remaining_s": None}
    ]


def test_a_fault_says_how_much_of_it_there_is_and_how_long(emulator: Emulator) -> None:
    emulator.fault("cut", amount=720, duration_s=3600)
    emulator.fault("slow_getstream")
    cut, slow = emulator.admin("GET", "/faults").json["faults"]
    assert (cut["amount"], slow["amount"]) == (720, 9)
    assert 0 < cut["remaining_s"] <= 3600


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/faults", {"kind": "flood"}, "kind must be one of hang, hang_api, hang_playback, "),
        ("/faults", {}, "kind must be"),
        ("/faults", {"kind": ["hang"]}, "kind must be"),
        ("/faults", [], "not a JSON object"),
        ("/faults", {"kind": "hang", "content": CONTENT}, "of the whole process"),
        ("/faults", {"kind": "stall", "content": "abc"}, "40 hex digits"),
        ("/faults", {"kind": "stall", "duration_s": 0}, "duration_s must be"),
        ("/faults", {"kind": "stall", "duration_s": True}, "duration_s must be"),
        ("/faults", {"kind": "stall", "duration": 5}, "unknown: duration; known: amount"),
        ("/faults", {"kind": "stall", "amount": 5}, "stall has no amount"),
        ("/faults", {"kind": "cut", "amount": "5"}, "amount must be a number, 0 to 86400 seconds"),
        ("/faults", {"kind": "crash_on_getstream", "amount": 0.5}, "1 to 1e+06"),
        ("/faults", {"kind": "burn_cpu", "amount": 101}, "1 to 100 percent"),
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


def test_every_open_session_is_listed(emulator: Emulator, play: Play) -> None:
    emulator.open()
    newer = emulator.open()
    play(emulator, OTHER).start()
    listed = {
        session["infohash"]: session
        for session in emulator.admin("GET", "/sessions").json["sessions"]
    }
    token = newer["command_url"].rpartition("/")[2]
    assert listed.keys() == {CONTENT, OTHER}
    assert listed[CONTENT] == {
        "infohash": CONTENT,
        "token": token,
        "is_hls": False,
        "readers": 0,
    }
    assert listed[OTHER]["readers"] == 1


def test_what_happened_is_counted_for_each_content(emulator: Emulator, play: Play) -> None:
    superseded, session = emulator.open(), emulator.open()
    emulator.stop(session)
    emulator.stop(superseded)
    play(emulator, OTHER).take(1)
    counted = emulator.admin("GET", f"/counters/{CONTENT}").json
    assert counted | {"requests": 0} == dict.fromkeys(counted, 0) | {
        "sessions_opened": 2,
        "sessions_superseded": 1,
        "sessions_stopped": 1,
        "unknown_stops": 1,
    }
    other = emulator.admin("GET", f"/counters/{OTHER}").json
    assert (other["sessions_opened"], other["sessions"], other["readers"]) == (1, 1, 1)
    everything = emulator.admin("GET", "/counters").json
    assert everything.keys() == other.keys()
    assert everything["sessions_opened"] == 3


def test_the_admin_port_knows_its_paths(shared: Emulator) -> None:
    for method, path in (
        ("GET", "/"),
        ("DELETE", "/faults/flood"),
        ("GET", "/crash"),
        ("GET", "/counters/0"),
    ):
        assert shared.admin(method, path).status == 404

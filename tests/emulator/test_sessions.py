"""What `stat` tells, how a session ends, and what an ended one answers."""

import time

from acekeeper.emulator.counters import Counters
from acekeeper.emulator.sessions import Sessions

from .conftest import Play, Start
from .running import CONTENT, OTHER, UNKNOWN, Emulator, until


def test_stat_has_every_field(emulator: Emulator) -> None:
    session = emulator.open()
    answer = emulator.stat(session)
    state = answer["response"]
    assert answer["error"] is None
    assert state["infohash"] == CONTENT
    assert state["playback_session_id"] == session["playback_session_id"]
    assert {name: type(value).__name__ for name, value in state.items()} == {
        "status": "str",
        "peers": "int",
        "speed_down": "int",
        "speed_up": "int",
        "downloaded": "int",
        "uploaded": "int",
        "total_progress": "int",
        "infohash": "str",
        "playback_session_id": "str",
        "is_live": "int",
        "is_encrypted": "int",
        "client_session_id": "int",
        "selected_file_index": "int",
        "selected_stream_index": "int",
        "stream_status": "int",
        "manifest_access_mode": "int",
        "debug_level": "int",
        "network_monitor_status": "int",
        "network_monitor_started": "bool",
        "disk_cache_stats": "dict",
        "livepos": "dict",
    }
    assert {type(value) for value in state["disk_cache_stats"].values()} == {int}
    assert state["livepos"].keys() == {
        "pos",
        "last",
        "first_ts",
        "last_ts",
        "live_first",
        "live_last",
        "is_live",
        "buffer_pieces",
    }
    assert {type(value) for value in state["livepos"].values()} == {str}
    assert abs(int(state["livepos"]["live_last"]) - time.time()) < 60


def test_status_is_prebuf_until_the_stream_can_be_read(emulator: Emulator) -> None:
    began = time.monotonic()
    session = emulator.open()
    until(lambda: emulator.stat(session)["response"]["status"] == "dl")
    assert time.monotonic() - began >= 0.5  # it takes 0.6
    opening = time.monotonic()
    status = emulator.stat(emulator.open())["response"]["status"]
    assert status == "prebuf" or time.monotonic() - opening >= 0.6


def test_stat_moves(emulator: Emulator) -> None:
    session = emulator.open()
    states = [emulator.stat(session)["response"]]

    def all_moved() -> bool:
        states.append(emulator.stat(session)["response"])
        first, last = states[0], states[-1]
        return (
            last["downloaded"] > first["downloaded"]
            and last["uploaded"] > first["uploaded"]
            and all(
                int(last["livepos"][name]) > int(first["livepos"][name])
                for name in ("pos", "last", "last_ts", "live_last")
            )
            and len({state["peers"] for state in states}) > 1
            and len({state["speed_down"] for state in states}) > 1
        )

    until(all_moved)
    assert all(400 <= state["speed_down"] <= 600 for state in states)  # KB/s, at 3800 kbit/s


def test_a_session_nobody_knows(emulator: Emulator) -> None:
    session = emulator.open()
    emulator.stop(session)
    assert emulator.stat(session) == UNKNOWN
    assert emulator.stop(session) == UNKNOWN
    assert emulator.get(f"/ace/stat/{OTHER}/{'0' * 32}").status == 200
    counters = emulator.admin("GET", "/counters").json
    assert counters["sessions_opened"] == counters["sessions_stopped"] == 1
    assert (counters["unknown_stats"], counters["unknown_stops"]) == (2, 1)
    assert counters["sessions"] == 0


def test_only_a_stop_stops(emulator: Emulator) -> None:
    session = emulator.open()
    answer = emulator.get(f"/ace/cmd/{session['stat_url'].partition('/stat/')[2]}", method="pause")
    assert answer.json == {"response": None, "error": "unknown method"}
    assert emulator.stat(session)["error"] is None


def test_a_session_nobody_reads_expires(start: Start) -> None:
    """Asking for its state does not keep it."""
    emulator = start("--start-delay", "0", "--idle-expiry", "0.3").ready()
    began = time.monotonic()
    session = emulator.open()
    until(lambda: bool(emulator.stat(session) == UNKNOWN))
    assert time.monotonic() - began >= 0.25
    assert emulator.count("sessions_expired") == 1


def test_a_session_that_is_read_does_not_expire() -> None:
    sessions = Sessions(60, Counters())
    session = sessions.open(CONTENT)
    with sessions.reading(session):
        session.last_read -= 3600
        assert sessions.of_content(CONTENT) is session
    session.last_read -= 50
    assert sessions.of_content(CONTENT) is session
    session.last_read -= 11
    assert sessions.of_content(CONTENT) is None


def test_sessions_are_lost_as_in_a_restart(emulator: Emulator, play: Play) -> None:
    reader = play(emulator)
    reader.start()
    other = emulator.open(OTHER)
    assert emulator.admin("POST", "/lose-sessions", {"content": CONTENT}).status == 200
    reader.drain()
    assert emulator.stat(other)["error"] is None
    emulator.admin("POST", "/lose-sessions")
    assert emulator.stat(other) == UNKNOWN
    assert emulator.count("sessions_lost") == 2

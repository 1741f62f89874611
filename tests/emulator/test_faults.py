"""Faults that hold up requests or streams."""

import time
from contextlib import ExitStack

import pytest

from .conftest import Play
from .running import (
    BURST,
    CONTENT,
    GETSTREAM,
    MORE_THAN_IN_HAND,
    OTHER,
    STATUS,
    Emulator,
    are_silent,
    path_of,
    until,
)


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
    assert emulator.status().status == 200
    assert time.monotonic() - began >= 0.6
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
    emulator.admin("DELETE", "/faults/stall")
    assert len(reader.take(100_000)) == 100_000
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


def test_a_read_hangs(emulator: Emulator) -> None:
    session = emulator.open()
    content = path_of(emulator.get(path_of(session["playback_url"])).headers["Location"])
    emulator.fault("hang_read", content=CONTENT)
    with (
        emulator.asked(path_of(session["playback_url"])) as client,
        emulator.asked(content) as other,
    ):
        assert are_silent(client, other)
    assert emulator.stat(session)["error"] is None
    assert emulator.open(OTHER)


def test_starting_playback_hangs(emulator: Emulator, play: Play) -> None:
    session = emulator.open()
    reader = emulator.read(session)
    emulator.fault("hang_getstream")
    with emulator.asked(GETSTREAM + OTHER) as client:
        assert are_silent(client)
    assert len(reader.take(MORE_THAN_IN_HAND)) == MORE_THAN_IN_HAND
    assert emulator.stop(session)["response"] == "ok"
    reader.close()


def test_stat_and_stop_hang(emulator: Emulator) -> None:
    session = emulator.open()
    emulator.fault("hang_stat")
    stop = path_of(session["command_url"]) + "?method=stop"
    with emulator.asked(path_of(session["stat_url"])) as stat, emulator.asked(stop) as stopped:
        assert are_silent(stat, stopped)
        assert emulator.open(OTHER)
        emulator.admin("DELETE", "/faults")
        assert stat.recv(15) == stopped.recv(15) == b"HTTP/1.1 200 OK"


def test_a_stop_hangs_by_itself(emulator: Emulator) -> None:
    session = emulator.open()
    emulator.fault("hang_stop", content=CONTENT)
    with emulator.asked(path_of(session["command_url"]) + "?method=stop") as stopped:
        assert are_silent(stopped)
        assert emulator.stat(session)["error"] is None
        emulator.admin("DELETE", "/faults")
        assert stopped.recv(15) == b"HTTP/1.1 200 OK"


def test_starting_playback_is_slow(emulator: Emulator) -> None:
    emulator.fault("slow_getstream", content=CONTENT, amount=0.7)
    began = time.monotonic()
    assert emulator.open()
    assert time.monotonic() - began >= 0.6
    emulator.fault("slow_getstream", amount=3600)
    with emulator.asked(GETSTREAM + OTHER) as client:
        assert are_silent(client)
        assert emulator.status().status == 200
        emulator.admin("DELETE", "/faults")
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_without_peers_the_prebuffer_never_fills(emulator: Emulator) -> None:
    emulator.fault("no_peers", content=CONTENT)
    session = emulator.open()
    reader = emulator.read(session)
    assert reader.is_silent()
    state = emulator.stat(session)["response"]
    assert state["status"] == "prebuf"
    assert state["peers"] == state["speed_down"] == state["speed_up"] == 0
    other = emulator.open(OTHER)
    until(lambda: emulator.stat(other)["response"]["status"] == "dl")
    emulator.admin("DELETE", "/faults")
    assert len(reader.take(BURST)) == BURST
    assert emulator.stat(session)["response"]["peers"] > 0
    reader.close()


def test_a_stream_that_loses_its_peers_stops(emulator: Emulator, play: Play) -> None:
    session = emulator.open()
    reader = emulator.read(session)
    reader.start()
    emulator.fault("no_peers")
    reader.runs_dry()
    state = emulator.stat(session)["response"]
    assert (state["status"], state["peers"], state["speed_down"]) == ("dl", 0, 0)
    reader.close()


def test_a_stop_ends_the_wait_for_peers(emulator: Emulator) -> None:
    emulator.fault("no_peers")
    session = emulator.open()
    reader = emulator.read(session)
    assert reader.is_silent()
    emulator.stop(session)
    until(lambda: emulator.count("readers") == 0)
    reader.close()


def test_a_download_is_not_found_for_a_while(emulator: Emulator) -> None:
    session = emulator.open()
    content = path_of(emulator.get(path_of(session["playback_url"])).headers["Location"])
    emulator.fault("not_found", content=CONTENT)
    for path in (path_of(session["playback_url"]), content):
        reply = emulator.get(path)
        assert (reply.status, reply.body) == (500, b"download not found")
    assert emulator.read(emulator.open(OTHER)).start().status == 200
    emulator.fault("not_found", content=CONTENT, duration_s=0.1)  # in place of the first
    until(lambda: emulator.get(path_of(session["playback_url"])).status == 302)
    reader = emulator.read(session)
    assert reader.start().status == 200
    reader.close()


def test_a_stream_is_cut(emulator: Emulator, play: Play) -> None:
    reader, other = play(emulator), play(emulator, OTHER)
    reader.start()
    emulator.fault("cut", content=CONTENT)
    with pytest.raises(ConnectionResetError):
        reader.drain()
    assert len(other.take(MORE_THAN_IN_HAND)) == MORE_THAN_IN_HAND


def test_streams_are_cut_after_a_time(emulator: Emulator, play: Play) -> None:
    emulator.fault("cut", amount=0.5)
    began = time.monotonic()
    reader = play(emulator)
    with pytest.raises(ConnectionResetError):
        reader.drain()
    assert time.monotonic() - began >= 1.0  # and 0.6 for the prebuffer

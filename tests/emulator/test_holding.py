"""Where a player waits for the prebuffer: which one real engines do is not certain."""

import time
from contextlib import closing

import pytest

from .conftest import Start
from .running import CONTENT, OTHER, Emulator, are_silent, path_of, until


def held_at(start: Start, place: str) -> Emulator:
    return start("--start-delay", "0", "--hold-at", place).ready()


def opened(emulator: Emulator, content: str = CONTENT) -> str:
    return path_of(emulator.open(content)["playback_url"])


def test_at_r_a_player_is_sent_on_when_the_prebuffer_is_full(start: Start) -> None:
    emulator = held_at(start, "r")
    began = time.monotonic()
    with closing(emulator.read(emulator.open())) as reader:
        assert time.monotonic() - began >= 0.5  # it takes 0.6
        assert reader.take(1)


def test_at_r_nobody_is_sent_on_without_peers(start: Start) -> None:
    emulator = held_at(start, "r")
    emulator.fault("no_peers", content=CONTENT)
    with emulator.asked(opened(emulator)) as client:
        assert emulator.get(opened(emulator, OTHER)).status == 302
        assert are_silent(client)
        emulator.admin("DELETE", "/faults")
        assert client.recv(18) == b"HTTP/1.1 302 Found"


def test_at_content_a_player_is_sent_on_and_gets_no_headers_without_peers(start: Start) -> None:
    emulator = held_at(start, "content")
    emulator.fault("no_peers")
    with closing(emulator.read(emulator.open())) as reader:
        assert reader.is_silent()
        emulator.admin("DELETE", "/faults")
        assert reader.take(1)


def test_at_r_a_stop_ends_the_wait(start: Start) -> None:
    emulator = held_at(start, "r")
    emulator.fault("no_peers")
    session = emulator.open()
    with emulator.asked(path_of(session["playback_url"])) as client:
        assert are_silent(client)
        emulator.stop(session)
        assert client.recv(1) == b""


def test_an_engine_may_answer_that_there_is_nothing_yet(start: Start) -> None:
    emulator = held_at(start, "nowhere")
    emulator.fault("no_peers")
    path = opened(emulator)
    early = emulator.get(path)
    assert (early.status, early.body) == (500, b"download not found")
    emulator.admin("DELETE", "/faults")
    until(lambda: emulator.get(path).status == 302)


@pytest.mark.parametrize("place", ["r", "content", "nowhere"])
def test_a_list_is_held_or_not_there_yet(start: Start, place: str) -> None:
    emulator = held_at(start, place)
    emulator.fault("no_peers")
    redirect = emulator.get(f"/ace/manifest.m3u8?infohash={CONTENT}")
    path = path_of(redirect.headers["Location"])
    if place == "nowhere":
        assert emulator.get(path).body == b"download not found"
    else:
        with emulator.asked(path) as client:
            assert are_silent(client)
    emulator.admin("DELETE", "/faults")
    until(lambda: emulator.get(path).status == 200)

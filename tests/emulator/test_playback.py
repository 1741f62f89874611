"""Reading a stream: prebuffer, burst, pace, and who else may read."""

import time

from acekeeper.emulator.reading import Pace

from .conftest import Play, Start
from .running import BURST, CONTENT, MORE_THAN_IN_HAND, OTHER, Emulator, path_of, until

MIB = 1 << 20


def test_the_stream_is_where_the_redirect_says(emulator: Emulator) -> None:
    session = emulator.open()
    redirect = emulator.get(path_of(session["playback_url"]))
    location = redirect.headers["Location"]
    assert location.startswith(f"http://127.0.0.1:{emulator.port}/content/{CONTENT}/0.")
    assert float(location.rpartition("/")[2]) < 1
    elsewhere = emulator.get(f"/content/{CONTENT}/0.5")
    assert (elsewhere.status, elsewhere.body) == (500, b"download not found")


def test_headers_come_when_the_prebuffer_is_full_then_a_burst(start: Start, play: Play) -> None:
    emulator = start("--start-delay", "0", "--bitrate", "128").ready()
    began = time.monotonic()
    reader = play(emulator)
    response = reader.start()
    assert time.monotonic() - began >= 0.5  # it takes 0.6
    assert (response.status, response.headers["Content-Type"]) == (200, "video/mp2t")
    assert response.headers["Content-Length"] is None
    # At this bitrate it would take minutes.
    assert len(reader.take(4 * MIB + 1)) == 4 * MIB + 1


def test_then_it_keeps_to_the_bitrate(start: Start, play: Play) -> None:
    emulator = start("--start-delay", "0", "--bitrate", "4000").ready()
    began = time.monotonic()
    play(emulator).take(BURST + 500_000)  # a second's worth
    assert time.monotonic() - began >= 1.2  # 1.6, less a frame


def test_what_passed_during_a_stall_is_not_made_up_for() -> None:
    pace = Pace(1.0, now=100.0)
    assert pace.frames_due(102.0, stalled=False) == 76
    assert pace.frames_due(104.0, stalled=True) == 76
    assert pace.frames_due(105.0, stalled=True) == 76
    assert pace.frames_due(109.0, stalled=False) == 76  # nobody knows when it ended
    assert pace.frames_due(110.0, stalled=False) == 101


def test_a_second_reader_gets_what_no_parser_takes(emulator: Emulator, play: Play) -> None:
    session = emulator.open()
    location = emulator.get(path_of(session["playback_url"])).headers["Location"]
    with emulator.asked(path_of(location)):
        until(lambda: emulator.count("readers") == 1)
        with emulator.asked(path_of(location)) as second:
            reply = second.recv(65536)
    assert reply == b"HTTP/1.1 200 OK\r\nHTTP/1.1 500 Internal Server Error\r\n\r\n"
    assert emulator.count("readers_refused") == 1


def test_the_place_of_a_reader_that_left_is_free(emulator: Emulator) -> None:
    session = emulator.open()
    for _ in range(2):
        reader = emulator.read(session)
        assert len(reader.take(MIB)) == MIB
        assert emulator.count("readers") == 1
        reader.close()
        until(lambda: emulator.count("readers") == 0)
    assert emulator.count("readers_started") == 2
    assert emulator.count("bytes_sent") >= MIB


def test_a_stop_ends_the_stream_cleanly(emulator: Emulator, play: Play) -> None:
    session = emulator.open()
    reader = emulator.read(session)
    reader.take(MIB)
    assert emulator.stop(session) == {"response": "ok", "error": None}
    reader.drain()
    reader.close()
    assert emulator.stat(session)["error"] == "unknown playback session id"
    assert emulator.get(path_of(session["playback_url"])).body == b"download not found"


def test_a_stop_ends_the_wait_for_the_prebuffer(emulator: Emulator) -> None:
    session = emulator.open()
    location = emulator.get(path_of(session["playback_url"])).headers["Location"]
    with emulator.asked(path_of(location)) as client:
        until(lambda: emulator.count("readers") == 1)
        emulator.stop(session)
        assert client.recv(1) == b""


def test_a_newer_session_of_the_content_cuts_the_reader(emulator: Emulator, play: Play) -> None:
    reader, other = play(emulator), play(emulator, OTHER)
    reader.start()
    other.start()
    newer = play(emulator)
    reader.drain()
    assert len(newer.take(MIB)) == MIB
    other.take(MORE_THAN_IN_HAND)
    assert emulator.count("sessions_superseded") == 1


def test_older_urls_speak_of_the_newer_session(emulator: Emulator) -> None:
    older, newer = emulator.open(), emulator.open()
    answer = emulator.stat(older)["response"]
    assert answer["playback_session_id"] == newer["playback_session_id"]
    assert emulator.get(path_of(older["playback_url"])).status == 403
    assert emulator.stop(older)["response"] == "ok"
    assert emulator.stat(newer)["error"] == "unknown playback session id"


def test_a_burst_larger_than_the_buffers_loses_nothing(start: Start, play: Play) -> None:
    """Every frame begins with the PAT, whose continuity number tells a lost one."""
    frame = 2660 * 188
    data = play(start("--start-delay", "0", "--bitrate", "100000").ready()).take(25 * frame)
    assert len(data) == 25 * frame
    assert {data[at : at + 3] for at in range(0, len(data), frame)} == {b"\x47\x40\x00"}
    assert [data[at + 3] & 0x0F for at in range(0, len(data), frame)] == [n % 16 for n in range(25)]

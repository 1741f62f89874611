"""HLS: the list, its segments, who may read them and how long."""

import http.client
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from acekeeper.emulator.counters import Counters
from acekeeper.emulator.engine import Engine
from acekeeper.emulator.faults import Fault, Faults
from acekeeper.emulator.opening import HoldAt
from acekeeper.emulator.sessions import Sessions
from acekeeper.emulator.wire import Request

from .conftest import Start
from .ffprobe import ffprobe, needs_ffprobe
from .packets import packets, pcr
from .running import CONTENT, OTHER, UNKNOWN, Emulator, Reply, are_silent, path_of, until

MANIFEST = "/ace/manifest.m3u8"


class List(NamedTuple):
    sequence: int
    durations: list[float]
    urls: list[str]

    @property
    def numbers(self) -> list[int]:
        return [int(url.rpartition("/")[2].removesuffix(".ts")) for url in self.urls]


def listed(text: bytes) -> List:
    first, version, target, sequence, *lines = text.decode().splitlines()
    assert (first, version) == ("#EXTM3U", "#EXT-X-VERSION:3")
    durations = [float(line[8:-1]) for line in lines[::2]]
    assert lines[::2] == [f"#EXTINF:{duration:.6f}," for duration in durations]
    assert all(4 <= duration <= 6 for duration in durations)
    assert target == f"#EXT-X-TARGETDURATION:{max(durations):.0f}"
    found = List(int(sequence.removeprefix("#EXT-X-MEDIA-SEQUENCE:")), durations, lines[1::2])
    assert found.numbers == [*range(found.sequence, found.sequence + len(found.urls))]
    return found


def opened(emulator: Emulator, infohash: str = CONTENT) -> dict[str, Any]:
    session: dict[str, Any] = emulator.get(MANIFEST, infohash=infohash, format="json").json[
        "response"
    ]
    return session


def read(emulator: Emulator, session: dict[str, Any]) -> Reply:
    return emulator.get(path_of(session["playback_url"]))


def test_the_document_leads_to_a_list(shared: Emulator) -> None:
    session = opened(shared)
    token = session["stat_url"].rpartition("/")[2]
    base = f"http://127.0.0.1:{shared.port}/ace"
    assert session.keys() == shared.open(OTHER).keys()
    assert session["playback_url"] == f"{base}/m/{CONTENT}/{token}.m3u8"
    reply = read(shared, session)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/vnd.apple.mpegurl")
    segments = listed(reply.body)
    assert len(segments.urls) >= 3
    assert segments.urls[0] == f"{base}/c/{CONTENT}/0.ts"


def test_without_a_format_it_redirects_to_the_list(shared: Emulator) -> None:
    location = shared.get(MANIFEST, infohash=CONTENT).headers["Location"]
    assert re.fullmatch(rf"/ace/m/{CONTENT}/[0-9a-f]{{32}}\.m3u8", path_of(location))
    assert listed(shared.get(path_of(location)).body).urls


def test_what_cannot_be_loaded(shared: Emulator) -> None:
    assert shared.get(MANIFEST, id="xyz", format="json").json["error"] == "failed to load content"
    assert shared.get(MANIFEST, id="xyz").status == 500


def test_segments_follow_on_each_other(shared: Emulator) -> None:
    segments = listed(read(shared, opened(shared)).body)
    replies = [shared.get(path_of(url)) for url in segments.urls[:3]]
    assert {reply.headers["Content-Type"] for reply in replies} == {"video/mp2t"}
    clocks = []
    for reply, duration in zip(replies, segments.durations, strict=False):
        video = [packet for packet in packets(reply.body) if packet.pid == 0x100]
        assert len(video) == duration * 25
        clocks += [(pcr(packet), packet.counter) for packet in video]
    assert clocks == [(n * 3600, n % 16) for n in range(len(clocks))]


def test_many_clients_read_the_same(emulator: Emulator) -> None:
    first, second, _ = listed(read(emulator, opened(emulator)).body).urls[:3]
    whole = emulator.get(path_of(first)).body
    replies: list[Reply] = []
    readers = [
        Thread(target=lambda: replies.append(emulator.get(path_of(first)))) for _ in range(8)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert {reply.status for reply in replies} == {200}
    assert [reply.body for reply in replies] == [whole] * 8
    assert emulator.get(path_of(second)).body != whole
    until(lambda: emulator.count("segments_sent") == 10)  # counted once all of it is sent
    until(lambda: emulator.count("readers") == 0)
    assert emulator.count("readers_refused") == 0


def test_two_engines_send_the_same(shared: Emulator, emulator: Emulator) -> None:
    """And so does one engine again, after its session has ended."""
    bodies = {
        one.get(path_of(listed(read(one, opened(one)).body).urls[1])).body
        for one in (shared, emulator, shared)
    }
    assert len(bodies) == 1


class Clocked:
    """An engine in this process, whose broadcast can be moved on."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.sessions = Sessions(60, Counters())
        self._engine = Engine(self.sessions, self.faults, Counters(), 128, HoldAt.CONTENT)
        self.session = self.sessions.open(CONTENT, is_hls=True)
        self.session.opened -= 60  # the prebuffer is full

    def pass_by(self, seconds: float) -> None:
        self.session.fetched_until -= seconds
        self.session.last_read -= seconds

    def ask(self, path: str) -> tuple[int, bytes]:
        ours, its = socket.socketpair()
        serving = Thread(target=self._serve, args=(its, path))
        serving.start()
        with ours, http.client.HTTPResponse(ours) as response:
            response.begin()
            body = response.read()
        serving.join()
        return response.status, body

    def _serve(self, client: socket.socket, path: str) -> None:
        with client:
            self._engine.serve(client, Request("GET", path, {}, "engine", {}, b""))

    def list(self) -> List:
        status, body = self.ask(f"/ace/m/{CONTENT}/{self.session.token}.m3u8")
        assert status == 200
        return listed(body)

    def segment(self, number: int) -> int:
        return self.ask(f"/ace/c/{CONTENT}/{number}.ts")[0]


def test_the_list_slides() -> None:
    engine = Clocked()
    lengths, sequences = [], []
    for _ in range(20):
        now = engine.list()
        lengths.append(len(now.urls))
        sequences.append(now.sequence)
        engine.pass_by(5)
    assert lengths == [*range(3, 17), *[17] * 6]
    assert sequences == [*[0] * 14, 0, *range(1, 6)]


def test_only_what_is_listed_can_be_had() -> None:
    engine = Clocked()
    for _ in range(3):
        engine.pass_by(50)
        assert engine.list().urls
    numbers = engine.list().numbers
    assert len(numbers) == 17
    assert engine.segment(numbers[0]) == engine.segment(numbers[-1]) == 200
    assert engine.segment(numbers[0] - 1) == engine.segment(numbers[-1] + 1) == 404
    assert engine.ask(f"/ace/c/{CONTENT}/0{numbers[0]}.ts")[0] == 404
    assert engine.ask(f"/ace/c/{OTHER}/{numbers[0]}.ts")[0] == 404


@pytest.mark.parametrize("kind", ["stall", "no_peers"])
def test_the_list_stands_still_in_a_stall(kind: str) -> None:
    engine = Clocked()
    assert engine.list().numbers == [0, 1, 2]
    engine.faults.set(Fault(kind, CONTENT, None))
    engine.pass_by(50)
    assert engine.list().numbers == [0, 1, 2]
    engine.faults.clear()
    assert engine.list().numbers == [0, 1, 2]
    engine.pass_by(5)
    assert engine.list().numbers == [0, 1, 2, 3]


def test_reading_the_list_or_a_segment_keeps_the_session() -> None:
    engine = Clocked()
    for _ in range(3):
        engine.pass_by(40)
        number = engine.list().numbers[-1]
        engine.pass_by(40)
        assert engine.segment(number) == 200
    engine.pass_by(61)
    assert engine.sessions.of_content(CONTENT) is None


def test_a_session_nobody_reads_expires(start: Start) -> None:
    emulator = start("--start-delay", "0", "--idle-expiry", "0.3").ready()
    session = opened(emulator)
    until(lambda: bool(emulator.stat(session) == UNKNOWN))
    assert read(emulator, session).status == 500
    assert emulator.count("sessions_expired") == 1


def test_a_stop_ends_the_list(emulator: Emulator) -> None:
    session = opened(emulator)
    segments = listed(read(emulator, session).body).urls
    assert emulator.stop(session) == {"response": "ok", "error": None}
    assert read(emulator, session).status == 500
    assert emulator.get(path_of(segments[0])).status == 404
    assert emulator.stat(session) == UNKNOWN


def test_a_newer_session_of_the_content_takes_over(emulator: Emulator) -> None:
    older = opened(emulator)
    assert read(emulator, older).status == 200
    newer = opened(emulator)
    assert read(emulator, older).status == 403
    assert read(emulator, newer).status == 200
    progressive = emulator.open()
    assert read(emulator, newer).status == 403
    assert emulator.get(f"/ace/c/{CONTENT}/0.ts").status == 404
    reader = emulator.read(progressive)
    assert reader.start().status == 200
    assert opened(emulator)
    reader.drain()
    reader.close()
    assert read(emulator, progressive).status == 403


def test_a_session_is_read_in_the_form_it_was_opened_in(emulator: Emulator) -> None:
    hls, progressive = opened(emulator), emulator.open(OTHER)
    as_progressive = path_of(hls["playback_url"]).replace("/m/", "/r/").removesuffix(".m3u8")
    as_hls = path_of(progressive["playback_url"]).replace("/r/", "/m/") + ".m3u8"
    for path in (as_progressive, as_hls):
        assert (emulator.get(path).status, emulator.get(path).body) == (500, b"download not found")


def test_the_list_comes_when_the_prebuffer_is_full(emulator: Emulator) -> None:
    began = time.monotonic()
    assert read(emulator, opened(emulator)).status == 200
    assert time.monotonic() - began >= 0.5  # it takes 0.6
    emulator.fault("no_peers", content=OTHER)
    session = opened(emulator, OTHER)
    with emulator.asked(path_of(session["playback_url"])) as client:
        assert are_silent(client)
        assert emulator.stat(session)["response"]["status"] == "prebuf"
        emulator.admin("DELETE", "/faults")
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_faults_of_a_stream_are_those_of_its_segments(emulator: Emulator) -> None:
    session = opened(emulator)
    first = path_of(listed(read(emulator, session).body).urls[0])
    emulator.fault("not_found", content=CONTENT)
    assert read(emulator, session).status == emulator.get(first).status == 500
    emulator.admin("DELETE", "/faults")
    emulator.fault("cut", content=CONTENT)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        emulator.get(first)
    emulator.admin("DELETE", "/faults")
    emulator.fault("stall")
    emulator.fault("hang_getstream")
    with ExitStack() as stack:
        segment = stack.enter_context(emulator.asked(first))
        manifest = stack.enter_context(emulator.asked(f"{MANIFEST}?infohash={CONTENT}"))
        assert are_silent(segment, manifest)
        emulator.admin("DELETE", "/faults/stall")
        assert segment.recv(15) == b"HTTP/1.1 200 OK"
    emulator.admin("DELETE", "/faults")
    emulator.fault("wrong_host")
    assert opened(emulator)["playback_url"].startswith("http://172.17.0.2:6878/ace/m/")


VIDEO = {"codec_name": "mpeg1video", "width": 128, "height": 64, "r_frame_rate": "25/1"}


@needs_ffprobe
def test_ffprobe_reads_a_segment(shared: Emulator, tmp_path: Path) -> None:
    """By itself, and from a file: over HTTP it would miss being able to seek."""
    file = tmp_path / "segment.ts"
    second = listed(read(shared, opened(shared)).body).urls[1]
    file.write_bytes(shared.get(path_of(second)).body)
    found = ffprobe(str(file), frames=1000)
    assert [programme["program_id"] for programme in found["programs"]] == [1]
    assert found["streams"] == [VIDEO | {"nb_read_frames": "125"}]


@needs_ffprobe
def test_ffprobe_reads_through_the_list(shared: Emulator) -> None:
    found = ffprobe(f"http://127.0.0.1:{shared.port}{MANIFEST}?infohash={CONTENT}", frames=300)
    assert [programme["program_id"] for programme in found["programs"]] == [0]
    assert found["streams"] == [VIDEO | {"nb_read_frames": "300"}]

"""A client library by others, acestream from PyPI, plays from the emulator."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from queue import Queue
from typing import Any
from urllib.request import urlopen

import pytest

from ..ports import free_port
from .running import CONTENT, LIMIT_S, Emulator

# It was written for an older Python and says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Library = Callable[..., Any]


@pytest.fixture
def server() -> Library:
    from acestream.server import Server

    return lambda port: Server("127.0.0.1", port=port, api_version=3)


@pytest.fixture
def stream() -> Iterator[Library]:
    """Makes streams; waits for the threads in which they ask for their state."""
    from acestream.stream import Stream

    before = {*threading.enumerate()}
    yield Stream
    for thread in {*threading.enumerate()} - before:
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_it_finds_the_engine(emulator: Emulator, server: Library) -> None:
    engine = server(emulator.port)
    assert engine.available
    assert engine.version == "3.2.3"
    assert len(engine.token) == 64
    assert not server(free_port()).available


def test_it_plays(emulator: Emulator, server: Library, stream: Library) -> None:
    playing = stream(server(emulator.port), id=CONTENT)
    states: Queue[tuple[str, int]] = Queue()
    happened: list[str] = []
    playing.connect("started", partial(happened.append, "started"))
    playing.connect("stopped", partial(happened.append, "stopped"))
    playing.connect("error", happened.append)
    playing.connect(
        "stats::updated", lambda: states.put((playing.status, playing.stats.downloaded))
    )
    playing.start()
    assert happened == ["started"]
    assert playing.is_live == 1
    assert playing.info.files == [{"index": 0, "filename": playing.info.name}]
    with closing(urlopen(playing.playback_url, timeout=LIMIT_S)) as reader:
        assert reader.read(1 << 20)[::188] == b"\x47" * (1 + (1 << 20) // 188)
        status, downloaded = states.get(timeout=LIMIT_S)
        assert states.get(timeout=LIMIT_S)[1] > downloaded
        assert (status, playing.stats.peers > 0, playing.stats.speed_down > 0) == ("dl", True, True)
        playing.stop()
        reader.read()
    assert happened == ["started", "stopped"]
    assert emulator.count("sessions_stopped") == 1


def test_it_plays_hls(emulator: Emulator, server: Library, stream: Library) -> None:
    playing = stream(server(emulator.port), infohash=CONTENT)
    playing.start(hls=True)
    with urlopen(playing.playback_url, timeout=LIMIT_S) as reply:
        lines = reply.read().decode().splitlines()
    with urlopen(lines[-1], timeout=LIMIT_S) as reply:
        assert reply.read(189)[::188] == b"\x47\x47"
    playing.stop()
    assert emulator.count("sessions") == 0


def test_it_tells_an_engine_that_cannot(
    emulator: Emulator, server: Library, stream: Library
) -> None:
    playing = stream(server(emulator.port), id=CONTENT)
    errors: list[str] = []
    playing.connect("error", errors.append)
    emulator.fault("load_fails")
    playing.start()
    assert errors.pop() == "Failed to load content"
    assert playing.playback_url is None
    emulator.admin("DELETE", "/faults")
    playing.start()
    emulator.admin("POST", "/lose-sessions")
    playing.stop()
    assert errors.pop() == "Unknown playback session id"
    playing.stats.stop()
    assert not errors

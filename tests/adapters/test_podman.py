"""Our side of Podman's socket; on the other side is a server that says what Podman says."""

import asyncio
import json
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from acekeeper.adapters.podman import Image, Podman
from acekeeper.adapters.retries import Retries
from acekeeper.adapters.tail import LONGEST_LOG
from acekeeper.errors import Failure, RuntimeUnavailable
from acekeeper.metrics import FAMILIES

from .policies import ONCE, Failed
from .quadlet_world import Clock

ID = "cd" * 32
IMAGE = "ab" * 32
LINES = (b"first\n", b"second \xff\n")


class FakePodman(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.hang = threading.Event()
        self.release = threading.Event()
        self.broken = False
        self.breaks = 0  # how often still: answers broken off
        self.lost = False  # the image
        super().__init__(str(path), Handler)


class Handler(BaseHTTPRequestHandler):
    server: FakePodman

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.breaks:
            self.server.breaks -= 1
            self.close_connection = True
            return
        if self.server.hang.is_set():
            self.server.release.wait()
        url = urlsplit(self.path)
        path = url.path.partition("/libpod")[2]
        query = parse_qs(url.query)
        if self.server.broken:
            self.answer(500, {"cause": "storage", "message": "storage is broken"})
        elif path == f"/images/{IMAGE}/json" and not self.server.lost:
            self.answer(200, {"Id": IMAGE})
        elif path == f"/containers/{ID}/json":
            self.answer(200, {"Id": ID, "State": {"Status": "running"}})
        elif path == f"/containers/{ID}/logs":
            kept = LINES[-int(query["tail"][0]) :]
            frames = b"".join(struct.pack(">BxxxL", 1, len(line)) + line for line in kept)
            self.answer(200, frames)
        else:
            self.answer(404, {"cause": "no such container", "message": f"no {path}"})

    def answer(self, code: int, body: object) -> None:
        with suppress(OSError):  # the caller has given up
            self.send(code, body)

    def send(self, code: int, body: object) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "podman"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakePodman]:
    with FakePodman(tmp_path / "podman.sock") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@contextmanager
def client(fake: FakePodman, retries: Retries = ONCE, within: float = 5) -> Iterator[Podman]:
    podman = Podman(retries, Path(str(fake.server_address)), within)
    yield podman
    fake.release.set()
    podman._threads.shutdown()  # a call still under way would leave its connection behind
    podman.close()


@pytest.fixture
def podman(fake: FakePodman) -> Iterator[Podman]:
    with client(fake) as podman:
        yield podman


async def test_an_image_is_there_or_not(podman: Podman) -> None:
    assert await podman.has_image(IMAGE)
    assert not await podman.has_image("ef" * 32)


async def test_every_call_is_told_with_its_time_answered_or_not(fake: FakePodman) -> None:
    asked: list[str] = []

    def told(call: str, seconds: float) -> None:
        assert 0 < seconds < 60
        asked.append(call)

    podman = Podman(ONCE, Path(str(fake.server_address)), asked=told)
    await podman.has_image(IMAGE)
    fake.broken = True
    with pytest.raises(RuntimeUnavailable):
        await podman.inspect("x")
    with pytest.raises(RuntimeUnavailable):
        await podman.logs("x", 1)
    podman._threads.shutdown()
    podman.close()
    assert asked == ["has_image", "inspect", "logs"]
    assert set(asked) == set(FAMILIES["orch_podman_call_duration_seconds"].labels["call"])


async def test_an_image_that_is_there_is_not_asked_for_again_at_once(
    fake: FakePodman, podman: Podman
) -> None:
    clock = Clock()
    image = Image(IMAGE, podman, clock)
    assert await image.lacks() == ""
    fake.lost = True
    assert await image.lacks() == ""
    clock.ahead = 300
    assert "is not on this host" in await image.lacks()
    fake.lost = False  # a missing one is asked for each time
    assert await image.lacks() == ""
    fake.lost = True
    image.doubt()
    assert "is not on this host" in await image.lacks()


async def test_an_image_that_podman_cannot_read_is_told(fake: FakePodman, podman: Podman) -> None:
    image = Image(IMAGE, podman, Clock())
    fake.broken = True
    lacks = await image.lacks()
    assert lacks.startswith(f"The image {IMAGE} cannot be read: Podman cannot be asked: ")
    assert "storage is broken" in lacks
    assert lacks.endswith("`acekeeper doctor` says what to do")
    fake.broken = False
    assert await image.lacks() == ""


async def test_nobody_knows_that_an_image_is_missing_while_podman_is_silent(
    fake: FakePodman,
) -> None:
    fake.lost = True
    fake.hang.set()
    with client(fake, within=0.1) as podman:
        assert await Image(IMAGE, podman, Clock()).lacks() == ""
    absent = Podman(ONCE, Path(f"{fake.server_address!s}.absent"))
    assert await Image(IMAGE, absent, Clock()).lacks() == ""
    absent.close()


async def test_a_container_is_described(podman: Podman) -> None:
    assert (await podman.inspect(ID) or {})["State"] == {"Status": "running"}


async def test_the_last_lines_are_read_whatever_their_bytes(podman: Podman) -> None:
    assert await podman.logs(ID, 10) == "first\nsecond \ufffd\n"
    assert await podman.logs(ID, 1) == "second \ufffd\n"


async def test_of_a_long_log_the_end_is_kept(
    podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = tuple(b"%05d%b\n" % (n, b"x" * 1018) for n in range(4000))
    monkeypatch.setattr(f"{__name__}.LINES", lines)
    text = await podman.logs(ID, 10_000) or ""
    assert text.encode() == b"".join(lines[-LONGEST_LOG // 1024 :])


async def test_an_unknown_container_is_none(podman: Podman) -> None:
    other = "ef" * 32
    assert await podman.inspect(other) is None
    assert await podman.logs(other, 10) is None


async def test_a_failure_says_what_podman_said(fake: FakePodman, podman: Podman) -> None:
    fake.broken = True
    with pytest.raises(RuntimeUnavailable, match="storage is broken"):
        await podman.inspect(ID)


async def test_without_a_socket_it_says_how_to_have_one(tmp_path: Path) -> None:
    podman = Podman(ONCE, tmp_path / "absent.sock")
    with pytest.raises(RuntimeUnavailable, match=r"no socket at .*absent\.sock.*podman\.socket"):
        await podman.has_image(IMAGE)
    podman.close()


async def test_one_that_hangs_is_given_up(fake: FakePodman) -> None:
    fake.hang.set()
    failed = Failed()
    with client(fake, failed.retries(1), within=0.1) as podman:
        with pytest.raises(RuntimeUnavailable, match=r"did not answer within 0\.1 s"):
            await podman.inspect(ID)
        assert failed.calls == [("podman", Failure.TIMEOUT)] * 2


async def test_what_broke_off_is_asked_again(fake: FakePodman) -> None:
    failed = Failed()
    fake.breaks = 2
    with client(fake, failed.retries(2)) as podman:
        assert await podman.has_image(IMAGE)
        assert failed.calls == [("podman", Failure.BROKEN)] * 2
        fake.breaks = 100
        with pytest.raises(RuntimeUnavailable, match=r"podman\.socket"):
            await podman.inspect(ID)
        assert len(failed.calls) == 5


async def test_an_error_of_podmans_is_an_answer(fake: FakePodman) -> None:
    failed = Failed()
    fake.broken = True
    with (
        client(fake, failed.retries(2)) as podman,
        pytest.raises(RuntimeUnavailable, match="storage is broken"),
    ):
        await podman.inspect(ID)
    assert failed.calls == [("podman", Failure.ERROR)]


async def test_a_socket_that_is_missing_is_not_waited_for(tmp_path: Path) -> None:
    failed = Failed()
    podman = Podman(failed.retries(2), tmp_path / "absent.sock")
    with pytest.raises(RuntimeUnavailable):
        await podman.has_image(IMAGE)
    assert failed.calls == [("podman", Failure.UNREACHABLE)]
    podman.close()


async def test_few_are_asked_at_once(fake: FakePodman, podman: Podman) -> None:
    fake.hang.set()
    asked = [asyncio.create_task(podman.inspect(ID)) for _ in range(12)]
    await asyncio.to_thread(fake.release.wait, 0.1)  # all have had time to be asked
    assert len(fake.asked) <= 4
    fake.release.set()
    assert all(await asyncio.gather(*asked))
    assert len(fake.asked) == 12

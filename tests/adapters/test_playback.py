"""A try of playback, against a far side that does as told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from acekeeper.adapters import connections, playback
from acekeeper.adapters.engine import EngineClient
from acekeeper.adapters.playback import Player
from acekeeper.core.doubt import Content
from acekeeper.core.facts import Verdict
from acekeeper.core.model import Now
from acekeeper.core.names import Slot
from acekeeper.errors import EngineInUse, NoAnswer

from .policies import ONCE

NOW = Now(1_700_000_000.0, 1_000.0)
ID = "c" * 40
CONTENT = Content("content_id", ID)
SESSION: dict[str, object] = {
    "playback_url": "http://192.0.2.1:1/ace/r/abc/t0",
    "stat_url": "http://192.0.2.1:1/ace/stat/abc/t0",
    "command_url": "http://192.0.2.1:1/ace/cmd/abc/t0",
    "infohash": "abc",
    "playback_session_id": "ours",
    "is_live": 1,
}
STAT: dict[str, object] = {"status": "prebuf", "peers": 3, "speed_down": 200}
VIDEO = b"\x47" * 188


class FakeEngine:
    """Answers by path; whoever is in `hangs` is never answered."""

    def __init__(self) -> None:
        self.getstream: dict[str, object] = {"response": SESSION, "error": None}
        self.stat = STAT | {"playback_session_id": "ours"}
        self.redirect = "http://192.0.2.1:1/content/abc/0.123"
        self.content: list[tuple[int, bytes, str]] = [(200, VIDEO, "video/mp2t")]
        self.hangs: set[str] = set()
        self.query: dict[str, str] = {}
        self.calls: list[str] = []
        self.over = asyncio.Event()
        self.arrived = asyncio.Condition()

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.slot = Slot(*self._runner.addresses[0][:2])

    async def close(self) -> None:
        self.over.set()
        await self._runner.cleanup()

    async def called(self, path: str) -> None:
        async with asyncio.timeout(30), self.arrived:
            await self.arrived.wait_for(lambda: path in self.calls)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.calls.append(path if path == "/ace/getstream" else request.path_qs)
        if path == "/ace/getstream":
            self.query = dict(request.query)
        async with self.arrived:
            self.arrived.notify_all()
        if any(path.startswith(hung) for hung in self.hangs):
            await self.over.wait()
        answers: dict[str, Callable[[], web.StreamResponse]] = {
            "/ace/getstream": lambda: web.json_response(self.getstream),
            "/ace/r/abc/t0": lambda: web.Response(
                status=302, headers={"Location": self.redirect}, text="Redirect"
            ),
            "/ace/stat/abc/t0": lambda: web.json_response(
                {"response": self.stat, "error": None}
                if self.stat
                else {"response": None, "error": "unknown playback session id"}
            ),
            "/ace/cmd/abc/t0": lambda: web.json_response({"response": "ok", "error": None}),
        }
        if path in answers:
            return answers[path]()
        status, body, kind = self.content.pop(0) if len(self.content) > 1 else self.content[0]
        return web.Response(status=status, body=body, content_type=kind)


@pytest.fixture
async def far() -> AsyncIterator[FakeEngine]:
    engine = FakeEngine()
    await engine.listen()
    yield engine
    await engine.close()


@pytest.fixture
async def player(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Player]:
    monkeypatch.setattr(playback, "_AGAIN_AFTER", 0.01)
    client = EngineClient(lambda: NOW, ONCE, 10)
    yield Player(client)
    await client.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "_BYTES_WITHIN", 0.2)


STOP = "/ace/cmd/abc/t0?method=stop"


async def test_bytes_are_a_proof_and_the_session_is_stopped(
    far: FakeEngine, player: Player
) -> None:
    assert await player.play(far.slot, CONTENT) == (Verdict.PLAYS, "")
    assert far.query.pop("pid")
    assert far.query == {"content_id": ID, "format": "json"}
    assert far.calls == [
        "/ace/getstream",
        "/ace/r/abc/t0",
        "/content/abc/0.123",
        "/ace/stat/abc/t0",
        STOP,
    ]


async def test_every_try_is_a_player_of_its_own(far: FakeEngine, player: Player) -> None:
    pids = set()
    for _ in range(2):
        await player.play(far.slot, CONTENT)
        pids.add(far.query["pid"])
    assert len(pids) == 2


@pytest.mark.parametrize("error", ["failed to load content", "invalid content id", {"code": 1}])
async def test_an_error_about_the_content_is_an_answer(
    far: FakeEngine, player: Player, error: object
) -> None:
    far.getstream = {"response": None, "error": error}
    verdict, detail = await player.play(far.slot, CONTENT)
    assert verdict is Verdict.BAD_CONTENT
    assert detail == (error if isinstance(error, str) else repr(error))
    assert far.calls == ["/ace/getstream"]


async def test_no_answer_to_getstream_is_a_hang(
    far: FakeEngine, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "_STARTS_WITHIN", 0.2)
    far.hangs = {"/ace/getstream"}
    with pytest.raises(NoAnswer, match=r"no answer within 0\.2 s"):
        await player.play(far.slot, CONTENT)


@pytest.mark.parametrize(
    "content",
    [
        [(500, b"download not found", "text/plain")],
        [(200, b"", "video/mp2t")],
        [(200, b"<html>sorry</html>", "text/html")],
        [(404, VIDEO, "video/mp2t")],
    ],
)
async def test_peers_and_no_bytes_are_a_hang(
    far: FakeEngine, player: Player, impatient: None, content: list[tuple[int, bytes, str]]
) -> None:
    far.content = content
    with pytest.raises(NoAnswer, match=r"no byte within 0\.2 s, with 3 peers at 200 KB/s"):
        await player.play(far.slot, CONTENT)
    assert far.calls[-1] == STOP


async def test_headers_that_never_come_are_a_hang(
    far: FakeEngine, player: Player, impatient: None
) -> None:
    far.hangs = {"/content/"}
    with pytest.raises(NoAnswer, match="no byte"):
        await player.play(far.slot, CONTENT)
    assert far.calls[-1] == STOP


async def test_no_peers_and_no_speed_are_starvation(
    far: FakeEngine, player: Player, impatient: None
) -> None:
    far.hangs = {"/ace/r/"}
    far.stat |= {"peers": 0, "speed_down": 0}
    assert await player.play(far.slot, CONTENT) == (Verdict.STARVED, "prebuf")
    assert far.calls[-1] == STOP


async def test_an_engine_that_is_filling_its_buffer_is_asked_again(
    far: FakeEngine, player: Player
) -> None:
    far.content = [
        (500, b"download not found", "text/plain"),
        (500, b"start timeout", "text/plain"),
        (200, VIDEO, "video/mp2t"),
    ]
    assert await player.play(far.slot, CONTENT) == (Verdict.PLAYS, "")


async def test_a_session_that_became_anothers_is_not_stopped(
    far: FakeEngine, player: Player
) -> None:
    """A stop by our URL would end theirs."""
    far.stat |= {"playback_session_id": "theirs"}
    await player.play(far.slot, CONTENT)
    assert STOP not in far.calls


async def test_broken_off_it_stops_its_session(far: FakeEngine, player: Player) -> None:
    far.hangs = {"/content/"}
    task = asyncio.create_task(player.play(far.slot, CONTENT))
    await far.called("/content/abc/0.123")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert far.calls[-1] == STOP


async def test_taken_over_it_found_nothing(far: FakeEngine, player: Player) -> None:
    far.content = [(403, b"got newer download", "text/plain")]
    far.stat |= {"playback_session_id": "theirs"}
    with pytest.raises(EngineInUse):
        await player.play(far.slot, CONTENT)
    far.getstream = {"response": None, "error": "got newer download"}
    with pytest.raises(EngineInUse):
        await player.play(far.slot, CONTENT)
    assert STOP not in far.calls


async def test_a_session_ended_by_another_found_nothing(
    far: FakeEngine, player: Player, impatient: None
) -> None:
    far.hangs = {"/content/"}
    far.stat = {}
    with pytest.raises(EngineInUse):
        await player.play(far.slot, CONTENT)
    assert STOP not in far.calls


async def test_where_somebody_else_is_connected_nothing_is_asked(
    far: FakeEngine, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def others(port: int) -> bool:
        asked.append(port)
        return True

    monkeypatch.setattr(connections, "has_others", others)
    with pytest.raises(EngineInUse, match="connected"):
        await player.play(far.slot, CONTENT)
    assert asked == [far.slot.port]
    assert far.calls == []


@pytest.mark.parametrize("name", ["playback_url", "stat_url", "command_url"])
@pytest.mark.parametrize(
    "url", [None, 7, "", "http://x/", "http://x/ace/r/../../server/api", "http://[x/ace/r/a/b"]
)
async def test_urls_that_are_none_are_a_failure(
    far: FakeEngine, player: Player, name: str, url: Any
) -> None:
    far.getstream = {"response": SESSION | {name: url}, "error": None}
    with pytest.raises(NoAnswer, match="getstream"):
        await player.play(far.slot, CONTENT)
    assert far.calls == ["/ace/getstream"]


async def test_no_redirect_leads_to_another_call(far: FakeEngine, player: Player) -> None:
    far.redirect = "http://127.0.0.1/ace/cmd/abc/t0?method=stop"
    with pytest.raises(NoAnswer):
        await player.play(far.slot, CONTENT)
    assert far.calls == ["/ace/getstream", "/ace/r/abc/t0", "/ace/stat/abc/t0", STOP]


def test_the_limits_are_the_clients_own() -> None:
    assert (playback._STARTS_WITHIN, playback._BYTES_WITHIN) == (20.0, 20.0)

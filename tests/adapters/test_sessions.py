"""Players' sessions, at a far side that does as told."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from msgspec.structs import replace

from acekeeper.adapters.sessions import Sessions
from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.model import Opening
from acekeeper.core.names import Slot
from acekeeper.errors import AcekeeperError, EngineInUse, EngineRefused, Failure, NoAnswer

ID, TOKEN = "a" * 40, "b" * 32
CONTENT = Content("content_id", "c" * 40)
WANTED = Wanted(
    content=CONTENT, is_hls=False, as_json=True, player="192.0.2.1", arrival="192.0.2.7"
)
SESSION: dict[str, object] = {
    "playback_url": f"http://192.0.2.1:1/ace/r/{ID}/{TOKEN}",
    "stat_url": f"http://192.0.2.1:1/ace/stat/{ID}/{TOKEN}",
    "command_url": f"http://192.0.2.1:1/ace/cmd/{ID}/{TOKEN}",
    "infohash": ID,
    "playback_session_id": "d" * 40,
    "is_live": 1,
    "is_encrypted": 0,
    "client_session_id": -1,
}
OPENING = Opening(ID, TOKEN, "d" * 40, is_live=True)


class FarSide:
    """Answers everything with `answer`; while there is none, nothing."""

    def __init__(self) -> None:
        self.answer: web.Response | None = None
        self.requests: list[web.Request] = []
        self.over = asyncio.Event()

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.slot = Slot(*self._runner.addresses[0][:2])

    async def close(self) -> None:
        self.over.set()
        await self._runner.cleanup()

    def says(self, value: object, status: int = 200) -> None:
        self.answer = web.json_response(value, status=status)

    def opens(self, **changed: object) -> None:
        self.says({"response": SESSION | changed, "error": None})

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        if self.answer is None:
            await self.over.wait()
        return self.answer or web.Response()


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    engine = FarSide()
    await engine.listen()
    yield engine
    await engine.close()


@pytest.fixture
async def sessions() -> AsyncIterator[Sessions]:
    sessions = Sessions()
    yield sessions
    await sessions.close()


async def test_an_engine_is_asked_for_the_content_by_the_name_the_player_has_for_it(
    far: FarSide, sessions: Sessions
) -> None:
    far.opens()
    query = "pid=p&_idx=1&x=a%26b&x=2"
    opening = await sessions.open(far.slot, replace(WANTED, query=query), 10)
    assert opening == OPENING
    [request] = far.requests
    assert request.path == "/ace/getstream"
    assert request.host == f"192.0.2.7:{far.slot.port}"
    assert request.query_string == f"content_id={CONTENT.key}&format=json&{query}"


async def test_a_list_is_asked_for_where_lists_are(far: FarSide, sessions: Sessions) -> None:
    far.opens(playback_url=f"http://192.0.2.1:1/ace/m/{ID}/{TOKEN}.m3u8")
    wanted = replace(WANTED, is_hls=True, arrival="fd00::1")
    assert await sessions.open(far.slot, wanted, 10) == OPENING
    [request] = far.requests
    assert request.path == "/ace/manifest.m3u8"
    assert request.host == f"[fd00::1]:{far.slot.port}"


async def test_who_names_no_player_is_one_of_its_own(far: FarSide, sessions: Sessions) -> None:
    for _ in range(2):
        far.opens()
        await sessions.open(far.slot, WANTED, 10)
    assert len({request.query["pid"] for request in far.requests}) == 2


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"is_live": 0}, Opening(ID, TOKEN, "d" * 40, is_live=False)),
        ({"is_live": True, "is_encrypted": True}, Opening(ID, TOKEN, "d" * 40, True, True)),
        ({"playback_session_id": 5}, Opening(ID, TOKEN, "", True)),
        ({"playback_session_id": "a b"}, Opening(ID, TOKEN, "", True)),
        ({"client_session_id": 7}, Opening(ID, TOKEN, "d" * 40, True, client_session_id=7)),
        ({"client_session_id": 10**400}, OPENING),
        ({"is_live": "yes"}, OPENING),
    ],
)
async def test_what_it_says_beside_is_taken_if_it_is_fit(
    far: FarSide, sessions: Sessions, changed: dict[str, object], expected: Opening
) -> None:
    far.opens(**changed)
    assert await sessions.open(far.slot, WANTED, 10) == expected


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("failed to load content", "failed to load content"),
        ({"code": 1}, "{'code': 1}"),
        ("a\r\nb", r"'a\r\nb'"),
        ("x" * 500, f"'{'x' * 79}"),
    ],
)
async def test_an_error_is_the_engines_word_about_the_content(
    far: FarSide, sessions: Sessions, said: object, words: str
) -> None:
    far.says({"response": None, "error": said})
    with pytest.raises(EngineRefused) as raised:
        await sessions.open(far.slot, WANTED, 10)
    assert raised.value.message == words


async def test_and_so_is_one_in_plain_text(far: FarSide, sessions: Sessions) -> None:
    far.answer = web.Response(status=500, text="Internal Server Error, couldn't find resource")
    with pytest.raises(EngineRefused, match="couldn't find resource"):
        await sessions.open(far.slot, WANTED, 10)


async def test_a_content_that_somebody_else_opened_meanwhile_is_in_use(
    far: FarSide, sessions: Sessions
) -> None:
    far.says({"response": None, "error": "got newer download"})
    with pytest.raises(EngineInUse):
        await sessions.open(far.slot, WANTED, 10)


@pytest.mark.parametrize(
    "changed",
    [
        {"stat_url": None},
        {"stat_url": f"http://192.0.2.1:1/ace/stat/{ID}/../x"},
        {"stat_url": f"http://192.0.2.1:1/ace/stat/{ID}/{'b' * 65}"},
        {"stat_url": f"http://192.0.2.1:1/ace/stat/{ID}/{'e' * 32}"},
        {"command_url": f"http://192.0.2.1:1/ace/cmd/{'e' * 40}/{TOKEN}"},
        {"playback_url": f"http://192.0.2.1:1/content/{ID}/{TOKEN}"},
        {"playback_url": "http://[192.0.2.1"},
    ],
)
async def test_urls_that_are_none_of_a_session_are_no_answer(
    far: FarSide, sessions: Sessions, changed: dict[str, object]
) -> None:
    far.opens(**changed)
    with pytest.raises(NoAnswer):
        await sessions.open(far.slot, WANTED, 10)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>", content_type="text/html"),
        web.Response(status=502, text="<html>", content_type="text/html"),
        web.Response(text="[]", content_type="application/json"),
        web.Response(text=json.dumps({"response": "ok", "error": None})),
        web.Response(text="x" * 65537),
    ],
)
async def test_what_no_engine_answers_is_no_answer(
    far: FarSide, sessions: Sessions, answer: web.Response
) -> None:
    far.answer = answer
    with pytest.raises(NoAnswer) as raised:
        await sessions.open(far.slot, WANTED, 10)
    assert raised.value.failure is Failure.ERROR


async def test_an_engine_that_does_not_answer_is_given_up(far: FarSide, sessions: Sessions) -> None:
    calls = [
        sessions.open(far.slot, WANTED, 0.1),
        sessions.redirect(far.slot, OPENING, "127.0.0.1", 0.1),
        sessions.list(far.slot, OPENING, "127.0.0.1", 0.1),
    ]
    for call in calls:
        with pytest.raises(NoAnswer) as raised:
            await call
        assert raised.value.failure is Failure.TIMEOUT


async def test_however_many_wait_for_an_engine_the_next_one_is_asked(
    far: FarSide, sessions: Sessions
) -> None:
    waiting = [asyncio.create_task(sessions.open(far.slot, WANTED, 60)) for _ in range(150)]
    async with asyncio.timeout(30):
        while len(far.requests) < len(waiting):
            await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("location", "place"),
    [
        (f"http://192.0.2.1:1/content/{ID}/0.123", f"/content/{ID}/0.123"),
        (f"/content/{ID}/0.1?a=b%20c", f"/content/{ID}/0.1?a=b%20c"),
        (f"http://elsewhere.example/content/{ID}/0.1", f"/content/{ID}/0.1"),
    ],
)
async def test_of_where_an_engine_sends_a_player_the_path_and_the_query_are_used(
    far: FarSide, sessions: Sessions, location: str, place: str
) -> None:
    far.answer = web.Response(status=302, headers={"Location": location})
    assert await sessions.redirect(far.slot, OPENING, "192.0.2.7", 10) == place
    [request] = far.requests
    assert request.path_qs == f"/ace/r/{ID}/{TOKEN}"
    assert request.host == f"192.0.2.7:{far.slot.port}"


@pytest.mark.parametrize(
    "location", ["", "http://[", "/ace/cmd/a/b", "/content/../ace/cmd/a/b", "/content/a%0d%0ab"]
)
async def test_and_only_to_a_content(far: FarSide, sessions: Sessions, location: str) -> None:
    far.answer = web.Response(status=302, headers={"Location": location})
    with pytest.raises(NoAnswer, match="sends its reader to"):
        await sessions.redirect(far.slot, OPENING, "127.0.0.1", 10)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (web.Response(status=500, text="download not found"), EngineRefused),
        (web.Response(status=403, text="got newer download"), EngineInUse),
        (web.Response(text="?", content_type="video/mp2t"), NoAnswer),
        (web.Response(status=500, text="<html>", content_type="text/html"), NoAnswer),
    ],
)
async def test_what_else_is_told_to_a_player_that_comes_for_the_picture(
    far: FarSide, sessions: Sessions, answer: web.Response, error: type[AcekeeperError]
) -> None:
    far.answer = answer
    with pytest.raises(error):
        await sessions.redirect(far.slot, OPENING, "127.0.0.1", 10)


async def test_a_list_is_passed_on_as_it_is(far: FarSide, sessions: Sessions) -> None:
    far.answer = web.Response(text="#EXTM3U\n", content_type="application/vnd.apple.mpegurl")
    assert await sessions.list(far.slot, OPENING, "192.0.2.7", 10) == b"#EXTM3U\n"
    [request] = far.requests
    assert request.path == f"/ace/m/{ID}/{TOKEN}.m3u8"
    assert request.host == f"192.0.2.7:{far.slot.port}"


async def test_a_stat_is_passed_on_as_it_is_if_it_is_json(far: FarSide, sessions: Sessions) -> None:
    body = '{"response": {"status":  "dl"}, "error": null}'
    far.answer = web.Response(text=body, content_type="application/json")
    assert await sessions.stat(far.slot, OPENING, "127.0.0.1") == body.encode()
    assert far.requests[0].path == f"/ace/stat/{ID}/{TOKEN}"
    far.answer = web.Response(text="<html>", content_type="text/html")
    with pytest.raises(NoAnswer):
        await sessions.stat(far.slot, OPENING, "127.0.0.1")

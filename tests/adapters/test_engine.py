"""The client of an engine's API, against a far side that says what it is told to say."""

import asyncio
import gzip
import json
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acekeeper.adapters import engine
from acekeeper.adapters.calls import connect
from acekeeper.adapters.engine import EngineClient
from acekeeper.core.model import Now, Sample
from acekeeper.core.names import Slot
from acekeeper.errors import Failure, NoAnswer

from .policies import ONCE, Failed

LIMIT_S = 30.0
NOW = Now(1_700_000_000.0, 1_000.0)
STATUS = {"result": {"playlist_loaded": True, "version": {"code": 3017000, "version": "3.1.70"}}}
NUMBERS = {
    "peers": 4,
    "speed_down": 257,
    "speed_up": 29,
    "downloaded": 3276800,
    "uploaded": 491520,
}
STAT = {"status": "dl", **NUMBERS, "livepos": {"pos": "1639986704"}}
SAMPLE = Sample(NOW, "dl", 4, 257, 29, 3276800, 491520)
WRONG_NUMBERS: tuple[object, ...] = (
    [],
    {},
    "many",
    "",
    float("nan"),
    float("inf"),
    1e30,
    2**63,
)
STAT_URL = "http://127.0.0.1:6878/ace/stat/0a1b/c2d3"


_JUNK = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n",
        b"HTTP/9.9 -1\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Type: \xff;;=\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Set-Cookie: \x01=\xff\r\n",
        b"Location: http://[\r\n",
        b"\r\n",
        b"-5\r\n",
        b"ffffffffffffffffffff\r\n",
        b'{"result": ',
        b'{"response": {"status": "\\ud800", "peers": NaN}}',
        b'{"error": ' + b"9" * 5000 + b"}",
        b"[" * 990 + b"]" * 990,
    ]
)
anything = st.lists(_JUNK | st.binary(max_size=40), max_size=8).map(b"".join)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def as_json(answer: object, status: str = "200 OK") -> bytes:
    return http(json.dumps(answer).encode(), status)


def stat_with(**fields: object) -> bytes:
    return as_json({"response": {**STAT, **fields}, "error": None})


class FarSide:
    """Gives one answer to every request; then ends the connection, or holds it open."""

    def __init__(self) -> None:
        self.answer = as_json(STATUS)
        self.before: list[bytes] = []  # each for one request, before that
        self.holds = False
        self.requests: list[str] = []
        self.waiting = 0
        self.most_waiting = 0
        self.changed = asyncio.Condition()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.endless = b""
        self.connections: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.slot = Slot(*self._server.sockets[0].getsockname())

    async def close(self) -> None:
        self._server.close()
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.connections.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await self._count(+1)
            await self.may_answer.wait()
            await self._count(-1)
            writer.write(self.before.pop(0) if self.before else self.answer)
            while self.endless:
                writer.write(self.endless)
                await writer.drain()
            if self.holds:
                await reader.read()
        writer.close()

    async def _count(self, step: int) -> None:
        async with self.changed:
            self.waiting += step
            self.most_waiting = max(self.most_waiting, self.waiting)
            self.changed.notify_all()

    async def wait_for(self, waiting: int) -> None:
        async with asyncio.timeout(LIMIT_S), self.changed:
            await self.changed.wait_for(lambda: self.waiting == waiting)

    @property
    def lines(self) -> list[str]:
        return [request.split("\r\n")[0] for request in self.requests]


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    side = FarSide()
    await side.listen()
    yield side
    await side.close()


@pytest.fixture
async def client() -> AsyncIterator[EngineClient]:
    client = EngineClient(lambda: NOW, ONCE, 10)
    yield client
    await client.close()


async def silence(client: EngineClient, slot: Slot) -> str:
    with pytest.raises(NoAnswer) as silent:
        await client.status(slot)
    return silent.value.message


async def test_an_engine_that_answers_its_status_is_alive(
    client: EngineClient, far: FarSide
) -> None:
    await client.status(far.slot)
    assert far.lines == ["GET /server/api?api_version=3&method=get_status HTTP/1.1"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(b"<html>", "200 OK", "Content-Type: text/html"), "200 'text/html', which is not"),
        (http(b"broken", "500 Error", "Content-Type: text/plain"), "500 'text/plain', which is"),
        (as_json(STATUS, "500 Error"), "answered 500"),
        (as_json({"error": {"message": "unknown protocol", "code": 0}}), "unknown protocol"),
        (as_json({"result": None}), "answered 200"),
        (as_json([1]), "[1]"),
        (http(b""), "not JSON"),
        (http(b'{"result": "\xff"}'), "not JSON"),
        (http(b"[" * 60_000), "not JSON"),
        (
            http(gzip.compress(b'{"result": 1}', mtime=0), "200 OK", "Content-Encoding: gzip"),
            "not JSON",
        ),
        (http(b'{"result": 1}')[:-3], "broke off"),
        (b"garbage\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "not HTTP"),
        (b"", "hung up"),
    ],
)
async def test_what_no_engine_answers_is_silence(
    client: EngineClient, far: FarSide, answer: bytes, why: str
) -> None:
    far.answer = answer
    assert why in await silence(client, far.slot)


@given(answers=st.lists(anything, min_size=1, max_size=10))
def test_whatever_an_engine_sends_it_answers_or_is_silent(answers: list[bytes]) -> None:
    async def ask_all() -> None:
        side, client = FarSide(), EngineClient(lambda: NOW, ONCE, 10)
        await side.listen()
        for answer in answers:
            for ask in (client.status(side.slot), client.stat(side.slot, STAT_URL)):
                side.answer = answer
                with suppress(NoAnswer):
                    await ask
        await client.close()
        await side.close()

    asyncio.run(ask_all())


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "", "[", "::1%none"])
async def test_a_host_that_cannot_be_asked_is_silence(client: EngineClient, host: str) -> None:
    with pytest.raises(NoAnswer, match="cannot be"):
        await client.status(Slot(host, 1))


async def test_a_host_may_be_an_ipv6_address(client: EngineClient) -> None:
    with socket.socket(socket.AF_INET6) as unheard:  # bound, so that nobody else listens there
        unheard.bind(("::1", 0))
        assert await silence(client, Slot(*unheard.getsockname()[:2])) == "refused the connection"


async def test_refused_is_silence(client: EngineClient, far: FarSide) -> None:
    await far.close()
    assert await silence(client, far.slot) == "refused the connection"


def test_a_connection_on_this_host_is_there_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as far:
        at = far.getsockname()
        to = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", at)
        with connect(to) as near:
            assert near.getpeername() == at


async def test_a_connection_that_ends_before_it_is_used_is_hung_up(client: EngineClient) -> None:
    """As when the network process behind a published port dies: it had taken the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    slot = Slot(*listener.getsockname())

    async def die(*_: object) -> None:
        listener.close()
        for _pass in range(3):  # passes of the loop, in which the client's side hears of it
            await asyncio.sleep(0)

    connected = aiohttp.TraceConfig()
    connected.on_connection_create_end.append(die)
    connected.freeze()
    client.session.trace_configs.append(connected)
    assert await silence(client, slot) == "hung up"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", http(b"{}")[:-1]])
async def test_an_answer_that_does_not_end_is_silence(
    client: EngineClient, far: FarSide, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(engine, "_STATUS_WITHIN", 0.1)
    monkeypatch.setattr(engine, "_STAT_WITHIN", 0.2)
    far.answer, far.holds = answer, True
    assert await silence(client, far.slot) == "no answer within 0.1 s"
    with pytest.raises(NoAnswer, match=r"no answer within 0\.2 s"):
        await client.stat(far.slot, STAT_URL)


def test_the_limits_are_those_of_the_contract() -> None:
    assert (engine._STATUS_WITHIN, engine._STAT_WITHIN) == (5.0, 3.0)


async def test_an_endless_answer_is_not_read_to_its_end(client: EngineClient, far: FarSide) -> None:
    far.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    far.endless = b" " * 10_000
    assert await silence(client, far.slot) == "answered more than 65536 bytes"


async def test_a_redirect_leads_nowhere(client: EngineClient, far: FarSide) -> None:
    host, port = far.slot
    far.answer = http(b"moved", "302 Found", f"Location: http://{host}:{port}/elsewhere")
    assert "answered 302" in await silence(client, far.slot)
    assert len(far.requests) == 1


async def test_nothing_is_kept_from_answer_to_answer(client: EngineClient, far: FarSide) -> None:
    far.answer = http(b'{"result": {}}', "200 OK", "Set-Cookie: a=b; Path=/")
    await client.status(far.slot)
    await client.status(far.slot)
    assert len(far.requests) == 2
    assert "cookie" not in far.requests[1].lower()


async def test_no_proxy_stands_between(
    client: EngineClient, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    await client.status(far.slot)


async def test_an_engine_that_hangs_holds_few_connections(
    client: EngineClient, far: FarSide
) -> None:
    far.may_answer.clear()
    asking = [asyncio.ensure_future(client.status(far.slot)) for _ in range(20)]
    await far.wait_for(8)
    far.may_answer.set()
    await asyncio.gather(*asking)
    assert (len(far.requests), far.most_waiting) == (20, 8)


async def test_engines_that_hang_keep_no_other_from_being_asked() -> None:
    async with AsyncExitStack() as stack:
        client = EngineClient(lambda: NOW, ONCE, 10, engines=15)
        stack.push_async_callback(client.close)
        engines = []
        for _ in range(15):
            engines.append(FarSide())
            await engines[-1].listen()
            stack.push_async_callback(engines[-1].close)
        well, *hung = engines
        for engine in hung:
            engine.may_answer.clear()
        asking = [
            asyncio.ensure_future(client.status(engine.slot)) for engine in hung for _ in range(8)
        ]
        for engine in hung:
            await engine.wait_for(8)
        async with asyncio.timeout(LIMIT_S):
            await client.status(well.slot)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_a_stat_is_a_sample(client: EngineClient, far: FarSide) -> None:
    far.answer = stat_with()
    assert await client.stat(far.slot, STAT_URL) == SAMPLE


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Error"])
async def test_an_unknown_session_is_none(client: EngineClient, far: FarSide, status: str) -> None:
    far.answer = as_json({"response": None, "error": "unknown playback session id"}, status)
    assert await client.stat(far.slot, STAT_URL) is None


@pytest.mark.parametrize(
    ("said", "read"), [(257.9, 257), (None, 0), ("257", 257), (True, 1), (-1, -1)]
)
async def test_numbers_are_read_leniently(
    client: EngineClient, far: FarSide, said: object, read: int
) -> None:
    for name in NUMBERS:
        far.answer = stat_with(**{name: said})
        sample = await client.stat(far.slot, STAT_URL)
        assert getattr(sample, name) == read


async def test_a_missing_number_is_zero(client: EngineClient, far: FarSide) -> None:
    far.answer = as_json({"response": {"status": "prebuf"}, "error": None})
    assert await client.stat(far.slot, STAT_URL) == Sample(NOW, "prebuf", 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        *(stat_with(downloaded=wrong) for wrong in WRONG_NUMBERS),
        stat_with(status=None),
        stat_with(status=["dl"]),
        stat_with(status="x" * 33),
        stat_with(status="\ud800"),
        as_json({"response": None, "error": None}),
        as_json({"response": [], "error": None}),
        as_json({"response": STAT, "error": "failed to start"}),
        as_json({"response": None, "error": {"message": "unknown playback session id"}}),
        as_json({"response": None, "error": "\ud800" * 1000}),
    ],
)
async def test_a_stat_that_cannot_be_read_is_silence(
    client: EngineClient, far: FarSide, answer: bytes
) -> None:
    """Not a sample of zeros: that would say that the stream stands still."""
    far.answer = answer
    with pytest.raises(NoAnswer) as silent:
        await client.stat(far.slot, STAT_URL)
    assert len(silent.value.message.encode()) < 200  # it goes into the log


@pytest.mark.parametrize(
    "answer",
    [
        {"response": "ok", "error": None},
        {"response": None, "error": "unknown playback session id"},
    ],
)
async def test_a_session_is_stopped_at_the_engine_itself(
    client: EngineClient, far: FarSide, answer: dict[str, str | None]
) -> None:
    far.answer = as_json(answer)
    await client.stop(far.slot, "http://192.0.2.1:1/ace/cmd/0a1b/c2d3?method=start")
    assert far.lines == ["GET /ace/cmd/0a1b/c2d3?method=stop HTTP/1.1"]


@pytest.mark.parametrize(
    "answer", [{}, {"response": None, "error": "failed"}, {"response": "no", "error": None}]
)
async def test_a_stop_that_is_not_confirmed_is_silence(
    client: EngineClient, far: FarSide, answer: dict[str, str | None]
) -> None:
    far.answer = as_json(answer)
    with pytest.raises(NoAnswer, match="answered"):
        await client.stop(far.slot, "/ace/cmd/a/b")


@pytest.mark.parametrize("url", ["", "/ace/stat/a/b", "/ace/cmd/../stat/a", "/webui/api/service"])
async def test_what_is_no_command_url_is_not_asked(
    client: EngineClient, far: FarSide, url: str
) -> None:
    with pytest.raises(NoAnswer, match="was not asked"):
        await client.stop(far.slot, f"http://127.0.0.1{url}?method=stop")
    assert far.requests == []


@pytest.mark.parametrize(
    ("stat_url", "target"),
    [
        ("http://192.0.2.1:1/ace/stat/0a1b/c2d3", "/ace/stat/0a1b/c2d3"),
        ("http://user:pass@127.0.0.1/ace/stat/a/b?x=%2F&y=1#top", "/ace/stat/a/b?x=%2F&y=1"),
        ("/ace/stat/a/b", "/ace/stat/a/b"),
    ],
)
async def test_only_the_engine_itself_is_asked(
    client: EngineClient, far: FarSide, stat_url: str, target: str
) -> None:
    far.answer = stat_with()
    await client.stat(far.slot, stat_url)
    assert far.lines == [f"GET {target} HTTP/1.1"]


@pytest.mark.parametrize(
    "stat_url",
    [
        "",
        "http://127.0.0.1/",
        "http://127.0.0.1/ace/cmd/a/b?method=stop",
        "http://127.0.0.1//ace/stat/a/b",
        "http://127.0.0.1/x/ace/stat/a/b",
        "http://127.0.0.1/ace/stat/../cmd/a/b?method=stop",
        "http://127.0.0.1/ace/stat/%2e%2e/cmd/a/b?method=stop",
        "http://127.0.0.1/ace/stat/a b",
        "http://127.0.0.1/ace/stat/a/b?x= HTTP/1.1",
        "http://127.0.0.1/ace/stat/\u0661/b",
        "http://[::1/ace/stat/a/b",
    ],
)
async def test_what_is_no_stat_url_is_not_asked(
    client: EngineClient, far: FarSide, stat_url: str
) -> None:
    with pytest.raises(NoAnswer, match="was not asked"):
        await client.stat(far.slot, stat_url)
    assert far.requests == []


@pytest.fixture
def failed() -> Failed:
    return Failed()


@pytest.fixture
async def trying(failed: Failed) -> AsyncIterator[EngineClient]:
    """A client that repeats."""
    client = EngineClient(lambda: NOW, failed.retries(3), 10)
    yield client
    await client.close()


BROKEN_OFF = http(b'{"response": 1}')[:-3]


async def test_a_stat_whose_connection_broke_is_asked_again(
    trying: EngineClient, far: FarSide, failed: Failed
) -> None:
    far.before, far.answer = [BROKEN_OFF, BROKEN_OFF], stat_with()
    assert await trying.stat(far.slot, STAT_URL) == SAMPLE
    assert len(far.requests) == 3
    assert failed.calls == [("engine", Failure.BROKEN)] * 2


async def test_a_stop_whose_connection_broke_is_asked_for_again(
    trying: EngineClient, far: FarSide, failed: Failed
) -> None:
    """The first may have been heard: then the engine does not know the session any more."""
    far.before = [BROKEN_OFF]
    far.answer = as_json({"response": None, "error": "unknown playback session id"})
    await trying.stop(far.slot, "/ace/cmd/a/b")
    assert len(far.requests) == 2
    assert failed.calls == [("engine", Failure.BROKEN)]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (as_json({"response": None, "error": "failed to start"}), Failure.ERROR),
        (stat_with(status=None), Failure.ERROR),
        (b"garbage\r\n\r\n", Failure.ERROR),
    ],
)
async def test_a_stat_that_was_answered_is_not(
    trying: EngineClient, far: FarSide, failed: Failed, answer: bytes, failure: Failure
) -> None:
    far.answer = answer
    with pytest.raises(NoAnswer):
        await trying.stat(far.slot, STAT_URL)
    assert failed.calls == [("engine", failure)]


async def test_a_session_that_is_not_known_is_no_failure(
    trying: EngineClient, far: FarSide, failed: Failed
) -> None:
    far.answer = as_json({"response": None, "error": "unknown playback session id"})
    assert await trying.stat(far.slot, STAT_URL) is None
    with pytest.raises(NoAnswer, match="was not asked"):
        await trying.stat(far.slot, "")
    assert failed.calls == []


async def test_an_engine_that_hangs_is_asked_once(
    trying: EngineClient, far: FarSide, failed: Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_STAT_WITHIN", 0.05)
    far.answer, far.holds = b"", True
    with pytest.raises(NoAnswer):
        await trying.stat(far.slot, STAT_URL)
    assert failed.calls == [("engine", Failure.TIMEOUT)]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [(http(b"{}")[:-1], Failure.BROKEN), (as_json({"result": None}), Failure.ERROR)],
)
async def test_a_probe_is_never_repeated_but_counted(
    trying: EngineClient, far: FarSide, failed: Failed, answer: bytes, failure: Failure
) -> None:
    """Who probes counts failures in a row, and asks again by itself."""
    far.answer = answer
    assert await silence(trying, far.slot)
    assert len(far.requests) == 1
    assert failed.calls == [("engine", failure)]


async def test_a_starting_engine_that_is_not_there_yet_is_no_failure(
    trying: EngineClient, far: FarSide, failed: Failed
) -> None:
    await far.close()
    with pytest.raises(NoAnswer, match="refused"):
        await trying.status(far.slot, starting=True)
    assert failed.calls == []
    assert await silence(trying, far.slot)
    assert failed.calls == [("engine", Failure.UNREACHABLE)]

"""/panel and its feed: open files that hold no data, and news for who looks."""

import asyncio
import json
import re
from asyncio import Event
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import acekeeper
from acekeeper.api import board, followers
from acekeeper.api.board import Board

from . import vpns
from .bodies import started
from .conftest import Serve, Served
from .fleets import in_fleet, put, replica

FILES = Path(acekeeper.__file__).parent / "panel"
STREAM = f"{'a' * 40}|{'b' * 32}"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "_EVERY", 0.01)


@asynccontextmanager
async def looking(served: Served) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async def news() -> AsyncIterator[dict[str, Any]]:
        async with asyncio.timeout(30):
            async for message in feed:
                if message.startswith(b"data: "):
                    assert message.endswith(b"\n\n")
                    assert message.count(b"\n") == 2
                    yield json.loads(message[6:])

    async with aclosing(Board(served.context).feed(Event())) as feed:
        yield news()


async def test_the_page_is_open_and_what_it_shows_is_not(serve: Serve) -> None:
    served: Served = await serve(only_loopback=False, API_KEY="k")
    page = await served.get("/panel")
    assert page.status_code == 200
    names = set(re.findall(r'"/panel/([^"]+)"', page.text))
    for path in FILES.glob("*.js"):
        imported = re.findall(r'from "\./([^"]+)"', path.read_text("utf-8"))
        names |= set(imported)
    assert names == {path.name for path in FILES.iterdir()} - {"index.html"}
    for name in names:
        answer = await served.get(f"/panel/{name}")
        assert answer.content == (FILES / name).read_bytes()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await served.get("/panel/live")).status_code == 401
    assert (await served.get("/panel/%2e%2e%2fapp.py")).status_code == 404


async def test_its_policy_allows_its_own_files_and_nothing_else(served: Served) -> None:
    policy = (await served.get("/panel")).headers["Content-Security-Policy"]
    rules = dict(rule.partition(" ")[::2] for rule in policy.split("; "))
    assert rules.pop("require-trusted-types-for") == "'script'"
    own = {name for name, value in rules.items() if value == "'self'"}
    assert own == {"script-src", "style-src", "img-src", "connect-src"}
    assert {value for name, value in rules.items() if name not in own} == {"'none'"}
    assert {"default-src", "frame-ancestors", "base-uri", "form-action"} <= rules.keys()


def test_its_scripts_take_nothing_for_html_and_call_nobody_else() -> None:
    for path in FILES.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "://", "url("):
            assert word not in text, (path.name, word)


async def test_all_of_it_first_and_then_what_changed(serve: Serve) -> None:
    served: Served = await serve(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await served.until(lambda s: any(e.listed for e in s.context.state.engines.values()))
    [engine] = (await served.get("/engines")).json()
    async with looking(served) as news:
        first = await anext(news)
        name = engine["container_name"]
        assert first["engines"] == {name: {"score": 100, "held": None, "engine": engine}}
        assert first["streams"] == {}
        assert first["overview"]["provisioning"]["can_provision"] is True
        await served.post("/events/stream_started", started(port=engine["port"]))
        began = await anext(news)
        assert began["engines"][name]["engine"]["streams"] == [STREAM]
        assert began["engines"][name]["score"] == 90  # one stream, and warm
        [listed] = (await served.get("/streams")).json()
        assert began["streams"] == {STREAM: {"stream": listed, "sample": None, "silent": False}}
        await served.post("/events/stream_ended", {"stream_id": STREAM})
        ended = await anext(news)
        assert ended["streams"] == {STREAM: None}
        await served.post("/events/stream_started", started(port=1, token="c" * 32))
        async for one in news:
            if one["streams"]:
                break
        assert one["engines"] == {}  # as it was
        assert set(one["streams"]) == {f"{'a' * 40}|{'c' * 32}"}


async def test_of_vpns_what_changed_and_not_what_always_does(served: Served) -> None:
    loop = served.context.loop
    async with looking(served) as news:
        assert (await anext(news))["overview"]["vpns"] == []
        loop.rules = replace(loop.rules, vpns=("de",))
        [unknown] = (await anext(news))["overview"]["vpns"]
        said = ("name", "state", "since", "country", "port")
        assert unknown == dict(zip(said, ("de", "unknown", None, None, None), strict=True))
        for fact in (vpns.started("de"), vpns.carried("de", 1, 1), vpns.answered("de", 40123)):
            loop.tell(fact)
        shown = unknown
        while shown["state"] != "connected":
            [shown] = (await anext(news))["overview"]["vpns"]
        assert (shown["country"], shown["port"]) == ("Germany", 40123)
        assert shown.keys() == set(said)  # no bytes, which change at every look


async def test_of_a_fleet_what_changed_and_not_the_age_of_a_word(served: Served) -> None:
    fleet = await in_fleet(served)
    state, here = fleet.context.state, fleet.context.clock().mono
    put(state, replica("media-1", heard=here), replica("media-3", heard=here))
    async with looking(fleet) as news:
        first = await anext(news)
        assert (first["overview"]["fleet"]["name"], len(first["hosts"])) == ("home", 3)
        assert "age_s" not in first["hosts"]["media-1"]
        put(state, replica("media-1", heard=here + 1), replica("media-3", heard=here + 1, free=0))
        changed = (await anext(news))["hosts"]
        assert (list(changed), changed["media-3"]["free"]) == (["media-3"], 0)
        put(state, replica("media-3", heard=here + 1, free=0))
        assert (await anext(news))["hosts"] == {"media-1": None}


async def test_who_hears_nothing_hears_that_it_lives(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "KEEP_ALIVE", 0.05)
    async with asyncio.timeout(30), aclosing(Board(served.context).feed(Event())) as feed:
        heard = [await anext(feed) for _ in range(3)]
    assert heard[0].startswith(b"retry: ")
    assert heard[1].startswith(b"data: ")
    assert heard[2] == b":\n\n"


async def test_it_is_made_once_for_all_who_look(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "_EVERY", 600)
    seen = Board(served.context)
    now = served.context.clock()
    shown = await seen._show(now)
    assert await seen._show(now.after(1)) is shown
    assert await seen._show(now.after(301)) is not shown


async def test_of_streams_elsewhere_a_part_is_shown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "_STREAMS", 2)
    for n in range(3):
        await served.post("/events/stream_started", started(labels={"stream_id": str(n)}))
    async with looking(served) as news:
        first = await anext(news)
    assert set(first["streams"]) == {"0", "1"}
    assert first["overview"]["streams"]["active"] == 3

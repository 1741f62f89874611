"""What is said of the gateway's players: in a scrape, in the status and to the panel."""

import json
from asyncio import Event
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from acekeeper.api.board import Board
from acekeeper.core.changes import Happening
from acekeeper.core.doubt import Content, Doubt
from acekeeper.core.gateway.model import Hold, Play, Reader, Wanted
from acekeeper.core.model import ByGateway, Engine, Health, KeyType, Now, Opening, Stream
from acekeeper.core.names import Slot
from acekeeper.metrics import Metrics

from ..requirements.scrape import Scrape
from .conftest import Served

KEYS = ["a" * 40, "b" * 40, "c" * 40]
PLAYER = "192.0.2.7"


class Clock:
    def __init__(self) -> None:
        self.now = Now(1_000_000.0, 1_000.0)

    def __call__(self) -> Now:
        return self.now


def scraped(metrics: Metrics) -> Scrape:
    return Scrape(b"".join(metrics.exposition()).decode())


def answers(metrics: Metrics) -> dict[str, float]:
    """Those that were told at all."""
    found = scraped(metrics).series("acekeeper_gateway_requests_total")
    return {series.labels["answer"]: series.value for series in found if series.value}


def failing(metrics: Metrics) -> float:
    return scraped(metrics).value("acekeeper_gateway_contents_failing")


def test_a_request_by_what_came_of_it() -> None:
    metrics = Metrics(Clock())
    assert answers(metrics) == {}
    metrics.gateway_answered("served")
    metrics.gateway_answered("no_engine", KEYS[0])
    metrics.gateway_pictured(KEYS[0], 0.7)
    metrics.gateway_left_picture(KEYS[1], 9.9)
    metrics.gateway_left_picture(KEYS[1], 10.0)
    assert answers(metrics) == {
        "served": 1,
        "no_engine": 1,
        "picture": 1,
        "left": 1,
        "left_without_picture": 1,
    }
    scrape = scraped(metrics)
    assert scrape.value('acekeeper_gateway_picture_seconds_bucket{le="0.5"}') == 0
    assert scrape.value('acekeeper_gateway_picture_seconds_bucket{le="1.0"}') == 1


def test_the_door_counts_what_is_wrong_with_the_request_and_nothing_else() -> None:
    metrics = Metrics(Clock())
    for status in (0, 200, 302, 400, 403, 404, 414, 500, 501, 503):
        metrics.gateway_turned_away(status)
    assert answers(metrics) == {"bad_request": 3, "forbidden": 1, "not_found": 1}


def test_how_long_a_session_took_and_which_of_two_engines_it_came_from() -> None:
    metrics = Metrics(Clock())
    hedges = "acekeeper_gateway_hedges_total"
    for hedged, won, moved in (
        (False, False, False),
        (True, True, False),
        (True, True, False),
        (True, False, False),
        (False, False, True),  # from one that gave no picture: its wait was not for a session
    ):
        data = {"waited": 3.2, "tries": 2, "hedged": hedged, "won": won, "moved": moved}
        metrics.observe(Happening("play_opened", data=data))
    scrape = scraped(metrics)
    assert scrape.value("acekeeper_gateway_open_seconds_count") == 4
    assert scrape.value('acekeeper_gateway_open_seconds_bucket{le="3.0"}') == 0
    assert scrape.value(f'{hedges}{{won="true"}}') == 2
    assert scrape.value(f'{hedges}{{won="false"}}') == 1


def test_a_content_fails_until_somebody_gets_its_picture_or_for_ten_minutes() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    metrics.gateway_answered("silent", KEYS[0])
    metrics.gateway_answered("no_picture", KEYS[1])
    metrics.gateway_left_picture(KEYS[2], 30)
    for answer in ("served", "refused", "no_engine", "left"):
        metrics.gateway_answered(answer, "d" * 40)  # says nothing against it
    assert failing(metrics) == 3
    metrics.gateway_pictured(KEYS[1], 1.0)
    assert failing(metrics) == 2
    clock.now = clock.now.after(400)
    metrics.gateway_answered("silent", KEYS[2])
    clock.now = clock.now.after(300)
    assert failing(metrics) == 1
    clock.now = clock.now.after(301)
    assert failing(metrics) == 0


def test_contents_that_fail_are_remembered_up_to_a_bound() -> None:
    metrics = Metrics(Clock())
    for n in range(1500):
        metrics.gateway_answered("silent", f"{n:040x}")
    assert failing(metrics) == 1024


def fill(served: Served) -> list[Engine]:
    """An engine that plays for a player, one that is asked to, one that is to stop, one that is
    idle; and two players that wait."""
    state, now = served.context.state, served.context.clock()
    engines = [
        Engine(
            slot=Slot("127.0.0.1", 19000 + n),
            created=now,
            incarnation=f"start-{n}",
            container_id=f"{n:064x}",
            health=Health.HEALTHY,
            ready=now,
        )
        for n in range(4)
    ]
    for engine in engines:
        state.put(engine)
    opening = Opening(KEYS[0], "token", "session", is_live=True)
    stream = Stream(
        id=f"{KEYS[0]}|token",
        key_type=KeyType.CONTENT_ID,
        key=KEYS[1],
        session="token",
        stat_url="",
        own_command_url="",
        is_live=True,
        address=("127.0.0.1", 19000),
        started=now,
        slot=engines[0].slot,
        incarnation=engines[0].incarnation,
        container_id=engines[0].container_id,
        gateway=ByGateway(
            opening=opening,
            player=PLAYER,
            arrival="192.0.2.1",
            as_json=False,
            is_hls=False,
            query="",
        ),
    )
    state.put_stream(stream)
    state.put_reader(stream.id, Reader(opened=now.mono, last=now.mono))
    content = Content("content_id", KEYS[2])
    state.put_holds(engines[1].ref, (Hold(content, now, opening="a-play"),))
    state.put_holds(engines[2].ref, (Hold(content, now, infohash=KEYS[2], token="old"),))
    wanted = Wanted(content=content, is_hls=False, as_json=True, player=PLAYER, arrival="192.0.2.1")
    for name in ("a-play", "another"):
        state.plays[name] = Play(id=name, wanted=wanted, received=now, until=now.mono + 9)
    return engines


async def test_who_plays_and_who_waits(served: Served) -> None:
    await served.context.loop.close()  # it would act on what is put there
    fill(served)
    scrape = await Scrape.of(served)
    assert scrape.value("acekeeper_gateway_playing") == 1
    assert scrape.value("acekeeper_gateway_waiting") == 2
    assert scrape.value("acekeeper_gateway_holds") == 2
    status = (await served.get("/orchestrator/status")).json()
    assert status["gateway"] is None, "its sockets are not open here"
    assert status["capacity"]["used"] == 3
    assert status["capacity"]["available"] == 1


async def test_the_status_says_where_players_are_served(served: Served) -> None:
    await served.context.loop.close()
    fill(served)
    told = await first_message(served, ["127.0.0.1:6878", "192.0.2.1:6878"])
    assert told["overview"]["gateway"] == {
        "listening": ["127.0.0.1:6878", "192.0.2.1:6878"],
        "playing": 1,
        "waiting": 2,
    }


async def test_the_panel_is_told_why_nobody_else_can_have_an_engine(served: Served) -> None:
    await served.context.loop.close()
    engines = fill(served)
    engines = [replace(engines[3], against=Doubt(Content("infohash", KEYS[0]), 0.0, "x"))]
    served.context.state.put(engines[0])
    told = await first_message(served, None)
    held = {name: shown["held"] for name, shown in told["engines"].items()}
    assert held == {
        "engine-19000": None,
        "engine-19001": "player",
        "engine-19002": "stop",
        "engine-19003": "try",
    }
    [stream] = told["streams"].values()
    assert (stream["stream"]["via"], stream["stream"]["player"]) == ("gateway", PLAYER)


async def first_message(served: Served, gateway: Sequence[str] | None) -> Any:
    feed = Board(replace(served.context, gateway=gateway)).feed(Event())
    await anext(feed)  # how soon to come back
    message = await anext(feed)
    await feed.aclose()
    return json.loads(message.removeprefix(b"data: "))

"""What the metrics say of players, by what really came of them."""

import asyncio
from typing import Any

import pytest
from loguru import logger

from acekeeper.metrics import gateway as measured

from .conftest import Play
from .playing import AS_JSON, GETSTREAM, ID, OTHER, Player, Playing, answers, reading, scrape


async def fault(at: Playing, kind: str) -> None:
    for port in at.served.listed():
        await at.served.fault(port, kind)


async def test_a_play_from_its_request_to_the_picture(play: Play) -> None:
    at = await play(1)
    assert answers(at) == {}
    reply = await at.get(GETSTREAM)
    assert answers(at) == {"served": 1}
    await at.get(reply.location)
    assert answers(at) == {"served": 1, "picture": 1}
    told = scrape(at)
    asked = {series.labels["endpoint"] for series in told.series("orch_api_requests_total")}
    assert not any(path.startswith("/ace") for path in asked), "waiting here is no API latency"
    assert told.value("acekeeper_gateway_open_seconds_count") == 1
    assert told.value("acekeeper_gateway_picture_seconds_count") == 1
    assert told.value("acekeeper_gateway_playing") == 1
    assert told.value("acekeeper_gateway_waiting") == 0


async def test_a_list_of_hls_is_a_picture_once(play: Play) -> None:
    at = await play(1)
    reply = await at.get(f"/ace/manifest.m3u8?id={ID}")
    for _ in range(3):
        assert (await at.get(reply.location)).status == 200
    assert answers(at) == {"served": 1, "picture": 1}


async def test_what_engines_refuse_is_not_held_against_anything(play: Play) -> None:
    at = await play(2)
    await fault(at, "load_fails")
    await at.get(AS_JSON)
    assert answers(at) == {"refused": 1}
    assert scrape(at).value("acekeeper_gateway_contents_failing") == 0


async def test_silence_and_no_engine_at_all(play: Play) -> None:
    at = await play(1, gateway_wait=0.3, gateway_wait_redirected=0.3)
    await fault(at, "hang_getstream")
    await at.get(GETSTREAM)
    await at.get(f"/ace/getstream?id={OTHER}")  # the engine is still asked for the other one
    assert answers(at) == {"silent": 1, "no_engine": 1}
    assert scrape(at).value("acekeeper_gateway_contents_failing") == 1
    assert scrape(at).value("acekeeper_gateway_holds") == 1


async def test_the_engine_that_was_asked_second_answers_sooner(play: Play) -> None:
    at = await play(2, gateway_hedge=0.2)
    first, second = (engine.slot.port for engine in at.context.state.engines.values())
    for port in (first, second):
        await at.served.fault(port, "hang_getstream")
    player = await Player.asking(at, GETSTREAM)
    await at.served.until(lambda: len(at.context.state.holds) == 2)
    [asked] = at.context.state.plays.values()
    await at.served.clear(asked.attempts[1].ref[0].port)
    assert (await player.reply()).status == 302
    assert scrape(at).value('acekeeper_gateway_hedges_total{won="true"}') == 1
    assert scrape(at).value('acekeeper_gateway_hedges_total{won="false"}') == 0


async def test_a_player_that_hangs_up(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    at = await play(1)
    session = (await at.get(GETSTREAM)).location
    await fault(at, "hang_playback")
    for patience, answer in ((3600.0, "left"), (0.0, "left_without_picture")):
        monkeypatch.setattr(measured, "_PATIENT_S", patience)
        await leave_picture(at, session, answer)
    player = await Player.asking(at, f"/ace/getstream?id={OTHER}")
    await at.served.until(lambda: at.context.state.plays)
    assert scrape(at).value("acekeeper_gateway_waiting") == 1
    player.hang_up()
    await at.served.until(lambda: answers(at).get("left") == 2)
    assert answers(at) == {"served": 1, "left": 2, "left_without_picture": 1}


async def leave_picture(at: Playing, session: str, answer: str) -> None:
    player = await Player.asking(at, session)
    await at.served.until(lambda: any(r.waiting for r in at.context.state.readers.values()))
    player.hang_up()
    await at.served.until(lambda: answer in answers(at))


@pytest.mark.parametrize("target", [GETSTREAM, f"/ace/manifest.m3u8?id={ID}"])
async def test_a_session_without_a_picture(play: Play, target: str) -> None:
    at = await play(2, gone_after=0.1)
    url = (await at.get(target)).location
    [stream] = at.streams
    assert stream.slot
    await at.get(url)  # until then an engine without a list fills its buffer
    await fault(at, "load_fails")
    await at.served.lose_sessions(stream.slot.port)
    told: list[Any] = []
    number = logger.add(lambda message: told.append(message.record))
    assert (await at.get(url)).status == 500
    logger.remove(number)
    assert answers(at) == {"served": 1, "picture": 1, "no_picture": 1}
    [failed] = [record["extra"] for record in told if record["message"] == "picture_failed"]
    assert failed.pop("waited") >= 0
    assert failed == {
        "why": "failed to load content",
        "player": "127.0.0.1",
        "key": ID,
        "stream": stream.id,
    }


async def test_a_proxys_second_viewer_did_not_wait_in_vain(play: Play) -> None:
    at = await play(1, gone_after=0.1)
    session = (await at.opened())["playback_url"]
    async with reading((await at.get(session)).location):
        assert (await at.get(session)).status == 500
    assert answers(at) == {"served": 1, "picture": 1, "has_reader": 1}


async def test_what_is_wrong_with_a_request(play: Play) -> None:
    at = await play(1)
    await at.get("/ace/getstream?id=xyz")
    await at.get("/nothing")
    await at.get(f"/ace/r/{ID}/{'0' * 32}")
    assert answers(at) == {"bad_request": 1, "not_found": 2}


async def test_who_waits_at_the_end_of_the_service(play: Play) -> None:
    at = await play(1)
    await fault(at, "hang_getstream")
    player = await Player.asking(at, GETSTREAM)
    await at.served.until(lambda: at.context.state.plays)
    leaving = asyncio.create_task(at.leave())
    assert (await player.reply()).status == 302
    await leaving
    assert answers(at) == {"restarted": 1}

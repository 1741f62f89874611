"""Players that come for the picture of their session."""

import asyncio
import time
from contextlib import AsyncExitStack
from urllib.parse import parse_qs, urlsplit

import pytest

from acekeeper.gateway import pictures, visit

from .conftest import Play
from .playing import AS_JSON, GETSTREAM, TICK_S, Player, Playing, Reply, reading

LONG = 3600.0


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "_AGAIN_AFTER", 0.05)


@pytest.fixture
def moves_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "_MOVES_AFTER", 0.2)


@pytest.fixture
def hops_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_JSON_HOP", 0.2)
    monkeypatch.setattr(pictures, "_HOP", 0.2)


def hop_of(reply: Reply) -> str:
    return parse_qs(urlsplit(reply.location).query)["hop"][0]


def engine_of(at: Playing) -> int:
    [stream] = at.streams
    assert stream.slot
    return stream.slot.port


async def picture_url(at: Playing, form: str) -> str:
    if form == AS_JSON:
        url: str = (await at.opened())["playback_url"]
        return url
    return (await at.get(form)).location


both_forms = pytest.mark.parametrize("form", [GETSTREAM, AS_JSON])


@both_forms
async def test_a_player_is_sent_to_the_engines_own_content(play: Play, form: str) -> None:
    at = await play(1)
    url = await picture_url(at, form)
    place = (await at.get(url)).location
    assert place.startswith(f"http://127.0.0.1:{engine_of(at)}/content/")
    reader = at.context.state.readers[at.streams[0].id]
    assert reader.came
    assert reader.waiting == 0


@pytest.mark.parametrize("path", ["/ace/r/a/b", "/ace/r/a", "/ace/r/a/b/c", "/ace/r/../b"])
async def test_an_unknown_session_is_told_as_an_engine_tells_it(play: Play, path: str) -> None:
    at = await play(1)
    reply = await at.get(path)
    assert (reply.status, reply.body) == (500, b"download not found")


@both_forms
async def test_who_hangs_up_waits_no_more(play: Play, form: str) -> None:
    at = await play(1)
    url = await picture_url(at, form)
    await at.served.fault(engine_of(at), "hang_read")
    player = await Player.asking(at, url)
    readers = at.context.state.readers
    [stream] = at.streams
    await at.served.until(lambda: readers[stream.id].waiting)
    player.hang_up()
    await at.served.until(lambda: not readers[stream.id].waiting)


@both_forms
async def test_a_picture_that_is_not_there_yet_is_asked_for_again(play: Play, form: str) -> None:
    at = await play(1)
    url = await picture_url(at, form)
    await at.served.fault(engine_of(at), "not_found")
    player = await Player.asking(at, url)
    await at.asked(at.streams[0], 4)
    await at.served.clear(engine_of(at))
    assert "/content/" in (await player.reply()).location


@both_forms
async def test_a_player_that_waits_is_sent_here_again(
    play: Play, hops_soon: None, form: str
) -> None:
    at = await play(1)
    asked = url = await picture_url(at, form)
    await at.served.fault(engine_of(at), "hang_read")
    began, asked_first = at.context.loop.clock().wall, set[float]()
    hops = 3 if form == AS_JSON else 1
    for hop in range(1, hops + 1):
        reply = await at.get(url)
        assert hop_of(reply) == str(hop)
        url = reply.location
        assert url.startswith(asked)
        asked_first.add(float(parse_qs(urlsplit(url).query)["since"][0]))
    [since] = asked_first
    ended = at.context.loop.clock().wall
    assert began - TICK_S <= since <= ended - 0.2 * hops + TICK_S
    await at.served.clear(engine_of(at))
    assert "/content/" in (await at.get(url)).location


async def test_in_the_end_a_proxy_gets_no_answer(play: Play, hops_soon: None) -> None:
    at = await play(1)
    url = (await at.opened())["playback_url"]
    await at.served.fault(engine_of(at), "hang_read")
    assert (await at.get(f"{url}?hop=3")).status == 0


async def test_in_the_end_others_get_an_error(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    at = await play(1)
    url = (await at.get(GETSTREAM)).location
    await at.served.fault(engine_of(at), "hang_read")
    long_ago = time.time() - pictures.LASTS + 0.2
    reply = await at.get(f"{url}?hop=1&since={long_ago}")
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) > 0
    await at.served.clear(engine_of(at))
    await at.served.fault(engine_of(at), "not_found")
    reply = await at.get(f"{url}?hop=1&since={long_ago + 1}")
    assert (reply.status, reply.body) == (500, b"download not found")


@both_forms
async def test_a_silent_engine_is_left_for_another_one(
    play: Play, moves_soon: None, form: str
) -> None:
    at = await play(2)
    url = await picture_url(at, form)
    silent = engine_of(at)
    await at.served.fault(silent, "hang_read")
    place = (await at.get(url)).location
    assert engine_of(at) != silent
    assert place.startswith(f"http://127.0.0.1:{engine_of(at)}/content/")
    await at.sees_nobody()
    assert await at.sessions() == 1
    stopped = f"{url.replace('/ace/r/', '/ace/cmd/')}?method=stop"
    assert (await at.get(stopped)).json["response"] == "ok"  # by the token of the first
    await at.served.until(lambda: not at.streams)


@both_forms
async def test_an_engine_that_died_is_left_at_once(play: Play, form: str) -> None:
    at = await play(2)
    url = await picture_url(at, form)
    dead = engine_of(at)
    await at.served.fault(dead, "hang_read")
    player = await Player.asking(at, url)
    await at.served.until(lambda: at.context.state.readers[at.streams[0].id].waiting)
    await at.served.fault(dead, "crash_after", amount=0.1)
    assert f":{dead}/" not in (await player.reply()).location


@both_forms
async def test_and_one_that_died_before(play: Play, form: str) -> None:
    at = await play(2)
    url = await picture_url(at, form)
    dead = engine_of(at)
    await at.served.fault(dead, "crash_after", amount=0.1)
    await at.served.until(lambda: not at.streams)
    assert f":{dead}/" not in (await at.get(url)).location


@both_forms
async def test_nobody_is_moved_from_an_engine_that_has_nobody_to_load_from(
    play: Play, moves_soon: None, hops_soon: None, form: str
) -> None:
    at = await play(2)
    url = await picture_url(at, form)
    slow = engine_of(at)
    await at.served.fault(slow, "hang_read")
    await at.served.fault(slow, "no_peers")
    assert hop_of(await at.get(url)) == "1"
    assert hop_of(await at.get(f"{url}?hop=0&since={time.time() - 1}")) == "1"
    assert engine_of(at) == slow


@both_forms
async def test_a_silent_engine_is_waited_for_while_there_is_no_other(
    play: Play, moves_soon: None, form: str
) -> None:
    at = await play(1)
    url = await picture_url(at, form)
    await at.served.fault(engine_of(at), "hang_read")
    player = await Player.asking(at, url)
    await at.served.until(lambda: at.context.state.plays)
    await at.served.clear(engine_of(at))
    assert "/content/" in (await player.reply()).location
    await at.sees_nobody()


async def test_the_second_viewer_of_a_proxy_is_answered_after_the_first(play: Play) -> None:
    at = await play(2)
    url = (await at.opened())["playback_url"]
    await at.served.fault(engine_of(at), "hang_read")
    async with AsyncExitStack() as stack:
        first = asyncio.create_task(stack.enter_async_context(reading(url)))
        await at.served.until(lambda: at.context.state.readers[at.streams[0].id].waiting)
        second = asyncio.create_task((await Player.asking(at, url)).reply())
        await at.get("/ace/r/a/b")  # which came later
        assert not second.done()
        await at.served.clear(engine_of(at))
        await first
        assert (await second).status == 500
    assert len(at.streams) == 1


async def test_the_second_viewer_waits_for_the_first_that_is_moved(
    play: Play, moves_soon: None
) -> None:
    at = await play(2)
    url = (await at.opened())["playback_url"]
    dead = engine_of(at)
    await at.served.fault(dead, "crash_after", amount=0.1)
    await at.served.until(lambda: not at.streams)
    [other] = at.served.listed() - {dead}
    await at.served.fault(other, "hang_read")
    async with AsyncExitStack() as stack:
        first = asyncio.create_task(stack.enter_async_context(reading(url)))
        readers = at.context.state.readers
        await at.served.until(lambda: any(reader.waiting for reader in readers.values()))
        second = asyncio.create_task((await Player.asking(at, url)).reply())
        await at.get("/ace/r/a/b")  # which came later
        assert not second.done()
        await at.served.clear(other)
        await first
        assert (await second).status == 500
    assert len(at.streams) == 1


async def test_a_move_that_would_be_cut_short_waits_until_the_player_is_here_again(
    play: Play, moves_soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_JSON_HOP", 1.0)
    at = await play(2)
    url = (await at.opened())["playback_url"]
    silent = engine_of(at)
    await at.served.fault(silent, "hang_read")
    assert hop_of(await at.get(url)) == "1"
    assert engine_of(at) == silent
    monkeypatch.setattr(pictures, "_JSON_HOP", LONG)
    place = (await at.get(f"{url}?hop=1&since={time.time() - 1}")).location
    assert f":{silent}/" not in place


async def test_another_reader_gets_a_session_of_its_own(play: Play) -> None:
    at = await play(2)
    url = (await at.get(GETSTREAM)).location
    async with reading((await at.get(url)).location), reading((await at.get(url)).location):
        assert len({stream.slot for stream in at.streams}) == 2


@both_forms
async def test_a_reader_that_comes_again_after_it_left_is_no_other_one(
    play: Play, form: str
) -> None:
    at = await play(2)
    url = await picture_url(at, form)
    for _ in range(2):
        async with reading((await at.get(url)).location):
            pass
    assert len(at.streams) == 1

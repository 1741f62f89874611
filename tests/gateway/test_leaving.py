"""Players leave while they wait, or the service does."""

import asyncio
from asyncio import Future
from urllib.parse import parse_qs, urlsplit

import pytest

from acekeeper.core.changes import Changes
from acekeeper.usecases import outcomes

from .conftest import Play
from .playing import GETSTREAM, ID, OTHER, TICK_S, Player, Playing, answers


async def sent_on(at: Playing, *targets: str) -> list[str]:
    """Where those are sent who wait there when the service stops."""
    players = [await Player.asking(at, target) for target in targets]
    await at.served.until(lambda: waiting(at) == len(players))
    leaving = asyncio.create_task(at.leave())
    replies = [await player.reply() for player in players]
    assert all(reply.headers["connection"] == "close" for reply in replies)
    await leaving
    return [reply.location for reply in replies]


def waiting(at: Playing) -> int:
    state = at.context.state
    return len(state.plays) + sum(reader.waiting for reader in state.readers.values())


def since(url: str) -> float:
    return float(parse_qs(urlsplit(url).query)["since"][0])


@pytest.mark.parametrize("path", ["/ace/getstream", "/ace/manifest.m3u8"])
@pytest.mark.parametrize("form", ["", "&format=json"])
async def test_who_waits_for_an_engine_is_sent_to_where_it_asked(
    play: Play, path: str, form: str
) -> None:
    at = await play(1)
    await at.opened()
    target = f"{path}?infohash={OTHER}{form}&pid=a%26b"
    before = at.context.loop.clock().wall
    [place] = await sent_on(at, target)
    assert place.startswith(f"http://127.0.0.1:{at.port}{path}?")
    query = parse_qs(urlsplit(place).query)
    assert query.pop("since")
    assert query == parse_qs(urlsplit(target).query)
    assert before - TICK_S <= since(place) <= at.context.loop.clock().wall


async def test_it_waits_since_it_asked_first(play: Play) -> None:
    at = await play(1)
    await at.opened()
    asked = round(at.context.loop.clock().wall - 5, 3)
    [place] = await sent_on(at, f"/ace/getstream?id={OTHER}&since={asked}")
    assert since(place) == asked
    assert place.count("since=") == 1


async def test_who_waits_for_the_picture_is_sent_to_where_it_asked(play: Play) -> None:
    at = await play(1)
    url = (await at.get(GETSTREAM)).location
    [port] = at.served.listed()
    await at.served.fault(port, "hang_read")
    [place] = await sent_on(at, f"{url}?hop=1")
    assert place.startswith(f"{url}?")
    assert parse_qs(urlsplit(place).query)["hop"] == ["1"]
    assert since(place)


async def test_what_was_asked_for_it_is_given_back(play: Play) -> None:
    at = await play(1)
    [port] = at.served.listed()
    await at.served.fault(port, "slow_getstream")
    await sent_on(at, f"/ace/getstream?infohash={ID}")
    assert not at.context.state.plays
    await at.served.clear(port)
    await at.sees_nobody()
    assert await at.sessions() == 0


@pytest.mark.parametrize("form", ["getstream", "manifest.m3u8"])
async def test_who_hangs_up_while_its_session_is_written_to_disk_gives_it_back(
    play: Play, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    at = await play(1)
    state, store = at.context.state, at.context.loop.store
    write = store.write

    held = Future[None]()

    def written(changes: Changes) -> Future[None]:
        done = write(changes)
        return held if state.streams else done

    monkeypatch.setattr(outcomes, "_ON_DISK_WITHIN", 3600)
    monkeypatch.setattr(store, "write", written)
    player = await Player.asking(at, f"/ace/{form}?id={ID}")
    await at.served.until(lambda: state.streams and not state.plays)
    player.hang_up()
    await at.served.until(lambda: answers(at) == {"left": 1})
    held.set_result(None)
    await at.served.until(lambda: not at.streams)
    await at.sees_nobody()
    assert await at.sessions() == 0

"""What the books hold against the gateway."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ..contract.picture import PlaybackFailed
from ..contract.player import Player
from .plays import Plays

GATEWAY, ENGINE = "http://127.0.0.1:6878", "http://127.0.0.1:19000"
GETSTREAM, PICTURE = f"{GATEWAY}/ace/getstream?id=1", f"{GATEWAY}/ace/r/ab/cd"


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    async with Player(GATEWAY, "1") as player:
        yield player


@pytest.mark.parametrize(
    ("url", "session"),
    [
        (PICTURE, "ab|cd"),
        (f"{PICTURE}?since=1&hop=1", "ab|cd"),
        (f"{GATEWAY}/ace/m/ab/cd.m3u8", "ab|cd"),
        (f"{ENGINE}/ace/r/ab/cd", ""),
        (f"{ENGINE}/content/ab/cd", ""),
        (GETSTREAM, ""),
    ],
)
async def test_a_session_that_was_given_has_to_be_listed(
    player: Player, url: str, session: str
) -> None:
    plays = Plays()
    player.asked = [GETSTREAM, url]
    plays.given(player)
    assert len(plays.missing([])) == len(plays) == bool(session)
    assert plays.missing([session]) == []


async def test_the_one_of_a_player_that_hung_up_after_its_json_too(player: Player) -> None:
    plays = Plays()
    player.asked, player.session = [GETSTREAM], {"playback_url": PICTURE}
    plays.given(player)
    assert plays.missing([])


REFUSED = aiohttp.ClientConnectionError()
CUT = aiohttp.ServerDisconnectedError()


@pytest.mark.parametrize(
    ("url", "error", "as_json", "is_wrong"),
    [
        (GETSTREAM, PlaybackFailed("503 no engine is free"), False, False),
        (GETSTREAM, PlaybackFailed("no engine is free"), True, False),
        (GETSTREAM, PlaybackFailed("500 Internal Server Error"), False, True),
        (PICTURE, PlaybackFailed("500 download not found"), False, True),
        (f"{ENGINE}/content/ab/1", PlaybackFailed("500 download not found"), False, False),
        (GETSTREAM, TimeoutError(), False, True),
        (GETSTREAM, TimeoutError(), True, False),
        (f"{ENGINE}/content/ab/1", TimeoutError(), False, False),
        (GETSTREAM, REFUSED, False, True),
        (PICTURE, CUT, True, False),
        (PICTURE, CUT, False, True),
        (GETSTREAM, CUT, True, True),
    ],
)
async def test_a_player_gets_nothing_for_a_known_reason(
    player: Player, url: str, error: Exception, *, as_json: bool, is_wrong: bool
) -> None:
    plays = Plays()
    player.asked, player.as_json = [url], as_json
    plays.failed(player, error, since=0.0)
    assert bool(plays.wrong) == is_wrong


async def test_the_service_may_be_away(player: Player) -> None:
    plays, now = Plays(), asyncio.get_running_loop().time
    player.asked = [GETSTREAM]
    before = now()
    with plays.away():
        assert plays.failed(player, REFUSED, now()) == "by a restart"
    assert plays.failed(player, REFUSED, before) == "by a restart"
    assert plays.wrong == []
    plays.failed(player, REFUSED, now())
    assert plays.wrong

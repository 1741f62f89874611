"""Players that are sent on to the gateway of another host, which has opened their session."""

from urllib.parse import parse_qsl

from msgspec.structs import replace

from acekeeper.core.facts import MaintenanceRequested
from acekeeper.core.fleet.actions import AskHost, Drop, FleetAction
from acekeeper.core.fleet.model import Digest, Link, Replica, Standing
from acekeeper.core.gateway.facts import HostPlayed
from acekeeper.core.gateway.model import Elsewhere
from acekeeper.core.model import Opening
from acekeeper.gateway.again import Leaving
from acekeeper.gateway.context import Context
from acekeeper.gateway.door import Call
from acekeeper.gateway.opening import Opener
from acekeeper.gateway.pictures import Pictures

from .conftest import Play
from .playing import GETSTREAM, OTHER, Player, Playing, answers, reading

HERE = "http://127.0.0.1"
ORIGIN = "http://192.0.2.11:6878"
OPENING = Opening(OTHER, "token", "session", is_live=True)
SESSION = f"{OTHER}/token"
WANTS = f"/ace/getstream?infohash={OTHER}"


def another(at: Playing, *, plays: bool = True) -> list[FleetAction]:
    """A host that has engines, and plays whatever it is asked for; what it is told is kept."""
    loop, told = at.context.loop, list[FleetAction]()
    digest = Digest(version="1", engines=9, free=9, room=0, streams=0)
    loop.state.fleet.link = Link(is_up=True)
    loop.state.fleet.put(
        Replica(host="b", digest=digest, heard=float("inf"), since=0.0, is_whole=True)
    )

    def take(action: FleetAction) -> None:
        told.append(action)
        if isinstance(action, AskHost) and plays:
            is_hls = loop.state.plays[action.request].wanted.is_hls
            session = Elsewhere(host="b", origin=ORIGIN, opening=OPENING, is_hls=is_hls)
            loop.tell(HostPlayed(action.request, session))

    loop.take_in_fleet = take
    return told


def context(at: Playing) -> Context:
    loop, metrics = at.context.loop, at.context.metrics
    return Context(loop=loop, metrics=metrics, leaving=Leaving(), may_name_urls=False)


def asking(target: str) -> Call:
    path, _, raw_query = target.partition("?")
    return Call(
        path=path,
        query=dict(parse_qsl(raw_query)),
        raw_query=raw_query,
        player="127.0.0.1",
        arrival=("127.0.0.1", 6878),
        headers={},
    )


async def dropped(at: Playing, told: list[FleetAction], call: Call) -> None:
    """As the door does for a player that is gone."""
    [give_back] = call.if_gone
    give_back()
    await at.served.until(lambda: any(isinstance(action, Drop) for action in told))


async def full(play: Play, **numbers: float) -> Playing:
    at = await play(1, **numbers)
    await at.opened()
    return at


async def test_json_leads_to_the_gateway_of_the_host_that_plays(play: Play) -> None:
    at = await full(play)
    another(at)
    reply = await at.get(f"{WANTS}&format=json")
    assert reply.json == {
        "response": {
            "playback_url": f"{ORIGIN}/ace/r/{SESSION}",
            "stat_url": f"{ORIGIN}/ace/stat/{SESSION}",
            "command_url": f"{ORIGIN}/ace/cmd/{SESSION}",
            "infohash": OTHER,
            "playback_session_id": "session",
            "is_live": 1,
            "is_encrypted": 0,
            "client_session_id": -1,
        },
        "error": None,
    }
    assert answers(at) == {"served": 2}


async def test_without_json_a_player_is_sent_there(play: Play) -> None:
    at = await full(play)
    another(at)
    assert (await at.get(WANTS)).location == f"{ORIGIN}/ace/r/{SESSION}"


async def test_so_is_one_that_wants_hls(play: Play) -> None:
    at = await full(play)
    another(at)
    reply = await at.get(f"/ace/manifest.m3u8?infohash={OTHER}")
    assert reply.location == f"{ORIGIN}/ace/m/{SESSION}.m3u8"


async def test_who_hangs_up_before_the_answer_has_it_dropped(play: Play) -> None:
    at = await full(play)
    told = another(at, plays=False)
    player = await Player.asking(at, WANTS)
    await at.served.until(lambda: told)
    player.hang_up()
    await at.served.until(lambda: len(told) > 1)
    [asked, dropped] = told
    assert isinstance(asked, AskHost)
    assert dropped == Drop("b", asked.request)


async def test_and_who_hangs_up_while_the_answer_is_on_its_way(play: Play) -> None:
    at = await full(play)
    told = another(at)
    call = asking(WANTS)
    answer = await Opener(context(at)).open(call, is_hls=False)
    assert answer.headers["Location"].startswith(ORIGIN)
    await dropped(at, told, call)


async def test_a_second_reader_is_sent_there_too(play: Play) -> None:
    at = await play(1, gone_after=0.1)
    url = (await at.get(GETSTREAM)).location
    told = another(at)
    async with reading((await at.get(url)).location):
        reply = await at.get(url)
        assert reply.location == f"{ORIGIN}/ace/r/{SESSION}"
        assert answers(at) == {"served": 2, "picture": 1}
        pictures, call = Pictures(context(at)), asking(url.removeprefix(f"{HERE}:{at.port}"))
        pictures._sent = dict.fromkeys(at.context.state.readers, 0.0)
        answer = await pictures.picture(call)
        assert answer
        assert answer.headers["Location"] == reply.location
        told.clear()
        await dropped(at, told, call)


async def test_a_list_goes_on_here(play: Play) -> None:
    """Its URL is one of this host, and is asked for again and again."""
    at = await full(play, gateway_wait=0.5, gateway_wait_redirected=0.5)
    told = another(at)
    assert (await at.get(f"/ace/m/{OTHER}/forgotten.m3u8")).status == 503
    assert told == []


async def test_a_client_that_checks_its_engine_finds_it_well_while_another_host_has_room(
    play: Play,
) -> None:
    at = await play(1)
    at.context.loop.tell(MaintenanceRequested())
    await at.served.until(lambda: not at.context.state.engines)
    check = "/webui/api/service?method=get_version"
    assert (await at.get(check)).status == 503
    another(at)
    assert (await at.get(check)).status == 200
    fleet = at.context.state.fleet
    fleet.put(replace(fleet.hosts["b"], standing=Standing.LOST))
    assert (await at.get(check)).status == 503

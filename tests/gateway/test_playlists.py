"""The list of an HLS session, which goes on under its URL wherever the session is."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from acekeeper.core.gateway.facts import StopAsked
from acekeeper.core.model import Stream
from acekeeper.gateway import lists, playlists
from acekeeper.gateway.lists import Playlist

from .conftest import Play
from .playing import ID, OTHER, Player, Playing, Reply

MANIFEST = f"/ace/manifest.m3u8?infohash={ID}"
LIST = "application/vnd.apple.mpegurl"

Lose = Callable[[Playing, Stream], Awaitable[None]]


async def url(at: Playing, content: str = ID) -> str:
    return (await at.get(f"/ace/manifest.m3u8?infohash={content}")).location


def read(reply: Reply) -> Playlist:
    assert (reply.status, reply.headers["content-type"]) == (200, LIST), reply
    return lists.read(reply.body)


def ports(reply: Reply) -> set[int]:
    """Of the engines whose segments are listed."""
    lines = reply.body.decode().splitlines()
    segments = [line.split("/")[2] for line in lines if not line.startswith("#")]
    assert {segment.partition(":")[0] for segment in segments} == {"127.0.0.1"}
    return {int(segment.partition(":")[2]) for segment in segments}


def port(stream: Stream) -> int:
    assert stream.slot
    return stream.slot.port


async def opened(at: Playing) -> int:
    """Sessions, by the engines that are there."""
    there = [engine.slot.port for engine in at.context.state.engines.values() if engine.listed]
    return sum([(await at.served.counters(port))["sessions_opened"] for port in there])


async def test_it_is_the_engines_list(play: Play) -> None:
    at = await play(1)
    reply = await at.get(await url(at))
    [stream] = at.streams
    assert read(reply).number == 0
    assert len(read(reply).segments) == 3
    assert ports(reply) == {port(stream)}
    first = reply.body.decode().splitlines()[5]
    assert (await at.get(first)).headers["content-type"] == "video/mp2t"
    assert stream.id in at.context.state.readers


async def crashes(at: Playing, stream: Stream) -> None:
    await at.served.crash(port(stream))


async def is_lost(at: Playing, stream: Stream) -> None:
    """The engine says 500."""
    await at.served.lose_sessions(port(stream))


async def is_superseded(at: Playing, stream: Stream) -> None:
    """The engine says 403."""
    elsewhere = f"http://127.0.0.1:{port(stream)}{MANIFEST}&format=json"
    assert (await at.get(elsewhere)).status == 200


async def hangs(at: Playing, stream: Stream) -> None:
    await at.served.fault(port(stream), "hang_read")


async def answers_html(at: Playing, stream: Stream) -> None:
    await at.served.fault(port(stream), "deny_access")


async def is_idle(at: Playing, stream: Stream) -> None:
    """Its player paused for long."""
    at.context.loop.tell(StopAsked(stream.id))
    await at.served.until(lambda: not at.context.state.holds)


@pytest.mark.parametrize(
    "lose",
    [crashes, is_lost, is_superseded, hangs, answers_html, is_idle],
    ids=lambda f: f.__name__,
)
async def test_it_goes_on_when_its_session_is_gone(
    play: Play, monkeypatch: pytest.MonkeyPatch, lose: Lose
) -> None:
    if lose is hangs:
        monkeypatch.setattr(playlists, "_SILENT_AFTER", 3.0)
    at = await play(2)
    its_url = await url(at)
    before = read(await at.get(its_url))
    [stream] = at.streams
    await lose(at, stream)
    reply = await at.get(its_url)
    [session] = at.streams
    assert session.id != stream.id
    assert ports(reply) == {port(session)}
    if lose is not is_idle:
        assert port(session) != port(stream)
    playlist = read(reply)
    assert playlist.number == before.number + len(before.segments)
    assert [segment.is_discontinuous for segment in playlist.segments] == [True, False, False]
    again = await at.get(its_url)
    assert read(again).number == playlist.number
    assert ports(again) == {port(session)}
    own = await at.get((await at.get(MANIFEST)).location)
    assert read(own).number == 0, "whoever comes now begins with this session"
    assert len(at.streams) == 1


async def test_the_only_engine_is_had_again_after_a_pause(play: Play) -> None:
    at = await play(1)
    its_url = await url(at)
    number = read(await at.get(its_url)).number
    [stream] = at.streams
    at.context.loop.tell(StopAsked(stream.id))
    reply = await at.get(its_url)
    assert read(reply).number == number + 3
    assert ports(reply) == {port(stream)}


async def test_a_list_that_comes_when_its_session_has_ended_is_not_served(play: Play) -> None:
    at = await play(2)
    its_url = await url(at)
    await at.get(its_url)
    [stream] = at.streams
    await at.served.fault(port(stream), "hang_stop")
    await at.served.fault(port(stream), "hang_read")
    player = await Player.asking(at, its_url)
    await at.asked(stream, 3)  # to open it, and twice for its list
    at.context.loop.tell(StopAsked(stream.id))
    await at.served.clear(port(stream), "hang_read")
    assert read(await player.reply()).segments[0].is_discontinuous
    [session] = at.streams
    assert port(session) != port(stream)


async def test_an_engine_is_not_asked_for_a_session_that_has_ended(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playlists, "_SILENT_AFTER", 3600.0)
    at = await play(2)
    its_url = await url(at)
    await at.get(its_url)
    [stream] = at.streams
    await at.served.fault(port(stream), "hang")
    at.context.loop.tell(StopAsked(stream.id))
    assert read(await at.get(its_url)).segments[0].is_discontinuous


async def test_players_that_ask_at_once_share_the_new_session(play: Play) -> None:
    at = await play(3)
    its_url = await url(at)
    await at.get(its_url)
    [stream] = at.streams
    await at.served.crash(port(stream))
    replies = await asyncio.gather(*(at.get(its_url) for _ in range(10)))
    assert {reply.body for reply in replies} == {replies[0].body}
    assert [s.is_discontinuous for s in read(replies[0]).segments] == [True, False, False]
    assert len(at.streams) == 1
    assert await opened(at) == 1


async def test_a_url_leads_to_a_session_that_was_opened_for_others_meanwhile(play: Play) -> None:
    at = await play(2)
    its_url = await url(at)
    number = read(await at.get(its_url)).number
    [stream] = at.streams
    await at.served.crash(port(stream))
    await at.served.until(lambda: not at.streams)
    others_url = await url(at)
    [session] = at.streams
    for _ in range(3):
        playlist = read(await at.get(its_url))
        assert playlist.number == number + 3
        assert playlist.segments[0].is_discontinuous
        assert read(await at.get(others_url)).number == 0
    assert [stream.id for stream in at.streams] == [session.id]
    assert at.context.state.readers[session.id].players == 2


async def test_a_url_of_which_nothing_is_known_opens_its_content(play: Play) -> None:
    at = await play(1)
    now = int(at.context.loop.clock().wall)
    for token in ("a" * 32, "b" * 32):
        playlist = read(await at.get(f"/ace/m/{ID}/{token}.m3u8"))
        assert playlist.number > now, "beyond whatever was listed there before"
        assert playlist.segments[0].is_discontinuous
        same = read(await at.get(f"/ace/m/{ID}/{token}.m3u8"))
        assert (same.number, same.discontinuity) == (playlist.number, playlist.discontinuity)
    assert len(at.streams) == 1
    assert await opened(at) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ace/m/", 404),
        (f"/ace/m/{ID}/token", 404),
        (f"/ace/m/{ID}/to.ken.m3u8", 404),
        ("/ace/m/zz/token.m3u8", 500),
    ],
)
async def test_a_url_of_nothing(play: Play, path: str, status: int) -> None:
    at = await play(1)
    assert (await at.get(path)).status == status
    assert not at.streams


async def test_a_progressive_session_has_no_list(play: Play) -> None:
    at = await play(1)
    location = (await at.get(f"/ace/getstream?infohash={ID}")).location
    reply = await at.get(location.replace("/r/", "/m/") + ".m3u8")
    assert (reply.status, reply.body) == (500, b"download not found")
    assert len(at.streams) == 1


async def test_a_token_is_that_of_its_content_only(play: Play) -> None:
    at = await play(2)
    its_url = await url(at)
    await at.get(its_url)
    await at.get(its_url.replace(ID, OTHER))
    assert {stream.key for stream in at.streams} == {ID, OTHER}


async def test_a_session_that_fills_its_buffer_is_waited_for(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playlists, "_AGAIN_AFTER", 0.1)
    at = await play(2)
    its_url = await url(at)
    [stream] = at.streams
    await at.served.fault(port(stream), "not_found")
    player = await Player.asking(at, its_url)
    await at.asked(stream, 4)  # to open it, and thrice for its list
    await at.served.clear(port(stream))
    assert read(await player.reply()).number == 0
    assert at.streams == [stream]


@pytest.mark.parametrize("has_peers", [True, False])
async def test_an_engine_that_says_nothing_is_left_unless_it_has_nobody_to_load_from(
    play: Play, monkeypatch: pytest.MonkeyPatch, has_peers: bool
) -> None:
    monkeypatch.setattr(playlists, "_SILENT_AFTER", 3.0)
    at = await play(2, gateway_wait_redirected=8.0, gateway_wait=8.0)
    its_url = await url(at)
    [stream] = at.streams
    await at.served.fault(port(stream), "hang_read" if has_peers else "no_peers")
    reply = await at.get(its_url)
    [session] = at.streams
    if has_peers:
        assert session != stream
        assert ports(reply) == {port(session)}
        assert read(reply).segments[0].is_discontinuous
    else:
        assert session == stream
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert reply.body == b"the engines that were asked have no list"


async def test_it_ends_when_no_other_engine_plays_it(play: Play) -> None:
    at = await play(2)
    its_url = await url(at)
    await at.get(its_url)
    [stream] = at.streams
    [other] = at.served.listed() - {port(stream)}
    await at.served.fault(other, "load_fails")
    await at.served.fault(port(stream), "load_fails")
    await at.served.lose_sessions(port(stream))
    reply = await at.get(its_url)
    assert (reply.status, reply.body) == (500, b"failed to load content")
    await at.sees_nobody()


async def counted(at: Playing, answer: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{at.served.base}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    sample = f'acekeeper_gateway_requests_total{{answer="{answer}"}} '
    return float(next(line.removeprefix(sample) for line in lines if line.startswith(sample)))


async def test_the_first_list_of_a_session_is_its_picture(play: Play) -> None:
    at = await play(1, gateway_wait_redirected=6.0, gateway_wait=6.0)
    its_url = await url(at)
    await at.get(its_url)
    await at.get(its_url)
    assert await counted(at, "picture") == 1
    [stream] = at.streams
    await at.served.lose_sessions(port(stream))
    assert (await at.get(its_url)).status == 503
    assert (await counted(at, "picture"), await counted(at, "no_picture")) == (1, 1)


async def test_a_player_that_hangs_up_leaves_nothing(play: Play) -> None:
    at = await play(2)
    its_url = await url(at)
    await at.get(its_url)
    [stream] = at.streams
    [other] = at.served.listed() - {port(stream)}
    await at.served.fault(other, "hang_getstream")
    await at.served.lose_sessions(port(stream))
    player = await Player.asking(at, its_url)
    await at.served.until(lambda: at.context.state.plays)
    player.hang_up()
    await at.served.until(lambda: not at.context.state.plays)
    await at.served.clear(other)
    await at.sees_nobody()


async def test_head_reads_nothing(play: Play) -> None:
    at = await play(1)
    its_url = await url(at)
    [stream] = at.streams
    before = at.context.state.readers[stream.id]
    assert (await at.get(its_url, method="HEAD")).headers["content-type"] == LIST
    assert at.context.state.readers[stream.id] == before
    await at.get(its_url)
    assert at.context.state.readers[stream.id].read > before.read


async def test_a_wait_before_a_restart_counts_once(play: Play) -> None:
    """A player may keep the URL to which it was sent then."""
    at = await play(2)
    its_url = await url(at)
    stale = f"{its_url}?since=1000000000.000"
    await at.get(stale)
    [stream] = at.streams
    await at.served.crash(port(stream))
    assert read(await at.get(stale)).segments[0].is_discontinuous


async def test_only_the_last_players_stop_ends_a_shared_session(play: Play) -> None:
    at = await play(1)
    first, last = [await at.opened(f"{MANIFEST}&format=json") for _ in range(2)]
    assert first == last
    [stream] = at.streams
    await at.get(f"{first['command_url']}?method=stop")
    assert at.streams == [stream]
    await at.get(f"{last['command_url']}?method=stop")
    assert not at.streams
    await at.sees_nobody()
    assert await at.sessions() == 0


async def test_whoever_reads_on_after_a_stop_plays_on(play: Play) -> None:
    """Players that moved together may be counted as one."""
    at = await play(2)
    session = await at.opened(f"{MANIFEST}&format=json")
    assert await at.opened(f"{MANIFEST}&format=json") == session
    before = read(await at.get(session["playback_url"]))
    await at.served.crash(port(at.streams[0]))
    assert read(await at.get(session["playback_url"])).number == before.number + 3
    for _ in range(2):
        await at.get(f"{session['command_url']}?method=stop")
    assert not at.streams
    assert read(await at.get(session["playback_url"])).number == before.number + 6

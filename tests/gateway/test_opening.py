"""getstream and manifest.m3u8, at engines that are there and others that are not."""

import pytest

from acekeeper.core.model import Phase

from .conftest import Play
from .playing import AS_JSON, GETSTREAM, ID, OTHER, Player, Playing

HERE = "http://127.0.0.1"


async def test_json_is_an_engines_but_that_its_urls_lead_here(play: Play) -> None:
    at = await play(1)
    reply = await at.get(f"{AS_JSON}&pid=p")
    [stream] = at.streams
    assert stream.gateway
    opening = stream.gateway.opening
    session = f"{opening.infohash}/{opening.token}"
    here = f"{HERE}:{at.port}/ace"
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.body.decode() == (
        f'{{"response": {{"playback_url": "{here}/r/{session}",'
        f' "stat_url": "{here}/stat/{session}", "command_url": "{here}/cmd/{session}",'
        f' "infohash": "{opening.infohash}", "playback_session_id": "{opening.session}",'
        ' "is_live": 1, "is_encrypted": 0, "client_session_id": -1}, "error": null}'
    )
    assert stream.key == ID
    assert stream.gateway.query == "pid=p"
    assert stream.gateway.player == "127.0.0.1"


async def test_an_hls_session_is_a_list_here(play: Play) -> None:
    at = await play(1)
    session = await at.opened(f"/ace/manifest.m3u8?infohash={ID}&format=json")
    token = session["stat_url"].rpartition("/")[2]
    assert session["playback_url"] == f"{HERE}:{at.port}/ace/m/{ID}/{token}.m3u8"
    again = await at.get(f"/ace/manifest.m3u8?infohash={ID}")
    assert again.location == session["playback_url"]
    assert len(at.streams) == 1


async def test_without_json_a_player_is_sent_to_the_picture(play: Play) -> None:
    at = await play(1)
    reply = await at.get(f"/ace/getstream?infohash={ID}")
    [stream] = at.streams
    assert reply.location == f"{HERE}:{at.port}/ace/r/{ID}/{stream.session}"
    assert reply.body.decode() == f"Redirect to {reply.location}"


async def test_it_plays(play: Play) -> None:
    at = await play(1)
    picture = (await at.get((await at.get(GETSTREAM)).location)).location
    [engine] = at.context.state.engines.values()
    assert picture.startswith(f"{HERE}:{engine.slot.port}/content/")
    reader = await Player.asking(at, picture)
    assert (await reader.bytes(400)).partition(b"\r\n\r\n")[2].startswith(b"\x47")
    reader.hang_up()


@pytest.mark.parametrize("target", [GETSTREAM, AS_JSON, f"/ace/manifest.m3u8?id={ID}"])
async def test_head_opens_nothing(play: Play, target: str) -> None:
    at = await play(1)
    reply = await at.get(target, method="HEAD")
    assert reply.status == 200
    assert "location" not in reply.headers
    assert not at.streams
    assert not at.context.state.plays


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "the request names no content: add content_id, infohash, url or magnet"),
        ("id=abc", "id is not 40 hexadecimal digits"),
        (f"id={ID}0", "id is not 40 hexadecimal digits"),
        (f"content_id=x&infohash={ID}", "content_id is not 40 hexadecimal digits"),
        ("url=file:///etc/passwd", "url is no http or https URL of up to 2000 characters"),
        ("magnet=http://a", "magnet is no magnet link of up to 2000 characters"),
    ],
)
async def test_what_names_no_content_is_asked_of_no_engine(
    play: Play, query: str, words: str
) -> None:
    at = await play(1)
    plain = await at.get(f"/ace/getstream?{query}", host="127.0.0.1")
    assert (plain.status, plain.body.decode()) == (400, words)
    as_json = await at.get(f"/ace/getstream?{query}&format=json", host="127.0.0.1")
    assert (as_json.status, as_json.json) == (400, {"response": None, "error": words})
    assert not at.context.state.plays
    [engine] = at.context.state.engines.values()
    assert engine.used is None


@pytest.mark.parametrize("header", ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"])
@pytest.mark.parametrize("name", ["url", "magnet"])
async def test_no_web_page_makes_an_engine_fetch_something(
    play: Play, header: str, name: str
) -> None:
    at = await play(2, allow_urls=True)
    value = {"url": "http://192.0.2.1/a.torrent", "magnet": f"magnet:?xt=urn:btih:{ID}"}[name]
    reply = await at.get(f"/ace/getstream?{name}={value}", header)
    assert (reply.status, reply.body.decode()) == (400, f"a web page may not ask for a {name}")
    assert (await at.get(f"/ace/getstream?{name}={value}", host="localhost:6878")).status == 302
    assert (await at.get(f"/ace/getstream?id={OTHER}", header)).status == 302


@pytest.mark.parametrize("host", ["evil.example", "evil.example:6878", "127.0.0.1.evil.example"])
async def test_no_web_page_does_so_by_a_name_that_it_points_here(play: Play, host: str) -> None:
    at = await play(2)
    target = "/ace/getstream?url=http://192.0.2.1/a.torrent"
    reply = await at.get(target, host=host)
    words = "ask for a url by the address of this host, not by a name"
    assert (reply.status, reply.body.decode()) == (400, words)
    assert (await at.get(target, host="127.0.0.1:6878")).status == 302
    assert (await at.get(f"/ace/getstream?id={OTHER}", host=host)).status == 302


async def test_a_refusal_is_in_the_engines_words_and_form(play: Play) -> None:
    at = await play(2)
    for port in at.served.listed():
        await at.served.fault(port, "load_fails")
    words = "failed to load content"
    as_json = await at.get(AS_JSON)
    assert (as_json.status, as_json.json) == (200, {"response": None, "error": words})
    plain = await at.get(GETSTREAM)
    assert (plain.status, plain.body.decode()) == (500, words)
    await at.sees_nobody()


async def test_no_engine_within_the_wait_is_told_with_when_to_ask_again(play: Play) -> None:
    at = await play(1, gateway_wait=0.2, gateway_wait_redirected=0.3)
    await at.opened()
    plain = await at.get(f"/ace/getstream?id={OTHER}")
    as_json = await at.get(f"/ace/getstream?id={OTHER}&format=json")
    for reply in (plain, as_json):
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
    assert as_json.json == {"response": None, "error": plain.body.decode()}


async def test_each_form_has_its_wait(play: Play) -> None:
    at = await play(1, gateway_wait=0.2, gateway_wait_redirected=3600)
    await at.opened()
    waiting = await Player.asking(at, f"/ace/getstream?id={OTHER}")
    assert (await at.get(f"/ace/getstream?id={OTHER}&format=json")).status == 503
    [play_] = at.context.state.plays.values()
    assert not play_.wanted.as_json
    waiting.hang_up()
    await at.sees_nobody()


@pytest.mark.parametrize("target", [GETSTREAM, AS_JSON])
async def test_who_hangs_up_while_the_engine_opens_leaves_no_session(
    play: Play, target: str
) -> None:
    at = await play(1)
    [port] = at.served.listed()
    await at.served.fault(port, "slow_getstream")
    player = await Player.asking(at, target)
    await at.served.until(lambda: at.context.state.holds)
    player.hang_up()
    await at.served.until(lambda: not at.context.state.plays)
    assert at.context.state.holds
    await at.served.clear(port)
    await at.sees_nobody()
    assert not at.streams
    assert await at.sessions() == 0


async def test_who_hangs_up_while_no_engine_is_free_gives_back_its_place(play: Play) -> None:
    at = await play(1)
    await at.opened()
    player = await Player.asking(at, f"/ace/getstream?id={OTHER}")
    await at.served.until(lambda: at.context.state.plays)
    player.hang_up()
    await at.sees_nobody()


async def test_another_engine_serves_when_one_hangs(play: Play) -> None:
    at = await play(2, gateway_hedge=0.2)
    first, second = await both_in_turn(at)
    await at.served.fault(first, "hang_getstream")
    session = await at.opened()
    [stream] = at.streams
    assert stream.slot
    assert stream.slot.port == second
    assert stream.session in session["stat_url"]
    await at.served.clear(first)
    await at.sees_nobody()
    assert await at.sessions() == 1


async def test_the_wait_of_a_player_that_was_sent_on_goes_on(play: Play) -> None:
    at = await play(1, gateway_wait=3600, gateway_wait_redirected=3600)
    await at.opened()
    asked = at.context.loop.clock().wall - 3600
    reply = await at.get(f"/ace/getstream?id={OTHER}&format=json&since={asked}")
    assert reply.status == 503


@pytest.mark.parametrize("since", ["nan", "inf", "x", "1e999", "99999999999", ""])
async def test_a_time_that_nobody_can_have_waited_since_is_now(play: Play, since: str) -> None:
    at = await play(1)
    assert (await at.get(f"{AS_JSON}&since={since}")).json["error"] is None


async def both_in_turn(at: Playing) -> list[int]:
    """The engines in the order in which players get them."""
    first = (await at.opened(AS_JSON.replace(ID, OTHER)))["command_url"]
    [stream] = at.streams
    assert stream.slot
    port = stream.slot.port
    await at.get(f"{first}?method=stop")
    await at.sees_nobody()
    state = at.context.state
    assert all(e.phase is Phase.RUNNING for e in state.engines.values())
    [other] = at.served.listed() - {port}
    return [other, port]

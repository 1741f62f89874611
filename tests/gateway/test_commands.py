"""What players ask about their session, and its end."""

import pytest

from .conftest import Play
from .playing import AS_JSON, ID, Playing

OK = {"response": "ok", "error": None}
UNKNOWN = {"response": None, "error": "unknown playback session id"}


def port_of(at: Playing) -> int:
    [stream] = at.streams
    assert stream.slot
    return stream.slot.port


async def test_stat_is_the_engines_own_answer(play: Play) -> None:
    at = await play(1)
    session = await at.opened()
    reply = await at.get(session["stat_url"])
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["error"] is None
    assert reply.json["response"]["playback_session_id"] == session["playback_session_id"]
    assert reply.json["response"]["disk_cache_stats"]
    assert at.context.state.readers[at.streams[0].id].read > 0


async def test_an_engine_that_says_nothing_is_told_as_such(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acekeeper.adapters.sessions._STAT_WITHIN", 0.2)
    at = await play(1)
    session = await at.opened()
    await at.served.fault(port_of(at), "hang_stat")
    reply = await at.get(session["stat_url"])
    assert reply.status == 503
    assert reply.json == {"response": None, "error": "the engine: no answer within 0.2 s"}


@pytest.mark.parametrize("call", ["stat", "cmd"])
async def test_an_unknown_session_is_told_as_an_engine_tells_it(play: Play, call: str) -> None:
    at = await play(1)
    reply = await at.get(f"/ace/{call}/{ID}/unknown")
    assert (reply.status, reply.json) == (200, UNKNOWN)
    session = await at.opened()
    url = session["stat_url"].replace("/stat/", f"/{call}/")
    await at.get(f"{session['command_url']}?method=stop")
    assert (await at.get(url)).json == UNKNOWN


async def test_a_stop_ends_the_session_at_the_engine(play: Play) -> None:
    at = await play(1)
    session = await at.opened()
    port = port_of(at)
    assert (await at.get(f"{session['command_url']}?method=stop")).json == OK
    assert not at.streams
    await at.sees_nobody()
    assert (await at.served.counters(port))["sessions_stopped"] == 1
    assert await at.sessions() == 0


async def test_a_stop_that_hangs_at_the_engine_is_answered_all_the_same(play: Play) -> None:
    at = await play(1)
    session = await at.opened()
    port = port_of(at)
    await at.served.fault(port, "hang_stop")
    assert (await at.get(f"{session['command_url']}?method=stop")).json == OK
    assert not at.streams
    assert at.context.state.holds
    await at.served.clear(port)
    await at.sees_nobody()
    assert await at.sessions() == 0


@pytest.mark.parametrize("of", [f"{ID}/unknown", f"{'a' * 64}/{'b' * 64}"])
async def test_every_stop_is_answered_well(play: Play, of: str) -> None:
    at = await play(1)
    for _ in range(2):
        assert (await at.get(f"/ace/cmd/{of}?method=stop")).json == OK


@pytest.mark.parametrize("path", ["/ace/cmd/a", "/ace/stat/a", "/ace/cmd/a/b/c", "/ace/stat/a/%2e"])
async def test_what_is_no_url_of_a_session_is_not_found(play: Play, path: str) -> None:
    at = await play(1)
    reply = await at.get(f"{path}?method=stop")
    assert (reply.status, reply.body) == (404, b"Not Found")


async def test_other_methods_change_nothing(play: Play) -> None:
    at = await play(1)
    session = await at.opened(AS_JSON)
    for query in ("", "?method=pause"):
        reply = await at.get(session["command_url"] + query)
        assert reply.json == {"response": None, "error": "unknown method"}
    assert len(at.streams) == 1

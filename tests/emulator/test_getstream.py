"""Starting playback: the document, the redirect, and which content a request means."""

import re

import pytest

from .running import CONTENT, OTHER, Emulator, Reply, path_of

ID = "00112233445566778899aabbccddeeff00112233"
FAILED = {"response": None, "error": "failed to load content"}


def getstream(emulator: Emulator, **query: str) -> Reply:
    return emulator.get("/ace/getstream", format="json", **query)


def infohash(emulator: Emulator, **query: str) -> str:
    answer: str = getstream(emulator, **query).json["response"]["infohash"]
    return answer


def test_the_document_to_the_letter(shared: Emulator) -> None:
    reply = getstream(shared, infohash=CONTENT, pid="1")
    session = reply.json["response"]
    token = session["stat_url"].rpartition("/")[2]
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert re.fullmatch("[0-9a-f]{40}", session["playback_session_id"])
    base = f"http://127.0.0.1:{shared.port}/ace"
    assert reply.body.decode() == (
        f'{{"response": {{"playback_url": "{base}/r/{CONTENT}/{token}",'
        f' "stat_url": "{base}/stat/{CONTENT}/{token}",'
        f' "command_url": "{base}/cmd/{CONTENT}/{token}",'
        f' "infohash": "{CONTENT}",'
        f' "playback_session_id": "{session["playback_session_id"]}",'
        ' "is_live": 1, "is_encrypted": 0, "client_session_id": -1}, "error": null}'
    )


def test_every_call_gets_a_session_of_its_own(shared: Emulator) -> None:
    sessions = [shared.open() for _ in range(3)]
    assert len({session["stat_url"] for session in sessions}) == 3
    assert len({session["playback_session_id"] for session in sessions}) == 3


def test_urls_carry_the_host_the_client_used(shared: Emulator) -> None:
    with shared.asked(f"/ace/getstream?infohash={CONTENT}&format=json") as client:
        assert b'"playback_url": "http://engine/ace/r/' in client.recv(65536)


def test_without_a_format_it_redirects(shared: Emulator) -> None:
    reply = shared.get("/ace/getstream", infohash=CONTENT)
    location = reply.headers["Location"]
    assert reply.status == 302
    assert re.fullmatch(rf"/ace/r/{CONTENT}/[0-9a-f]{{32}}", path_of(location))
    assert reply.body.decode() == f"Redirect to {location}"
    assert "Content-Length" not in reply.headers


def test_a_content_id_means_the_same_infohash_for_ever(shared: Emulator) -> None:
    expected = "acf42d2e6396f2cfe6b3f26acf42591b7c713806"  # a change breaks what clients stored
    assert infohash(shared, id=ID) == infohash(shared, content_id=ID.upper()) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"infohash": CONTENT.upper()}, CONTENT),
        ({"magnet": f"magnet:?dn=x&xt=urn:btih:{CONTENT}"}, CONTENT),
        ({"infohash": CONTENT, "url": "http://x/y.acelive"}, CONTENT),
        ({"infohash": CONTENT, "magnet": f"magnet:?xt=urn:btih:{OTHER}"}, CONTENT),
    ],
)
def test_names_of_a_content(shared: Emulator, query: dict[str, str], expected: str) -> None:
    assert infohash(shared, **query) == expected


def test_an_id_comes_before_every_other_name(shared: Emulator) -> None:
    by_id = infohash(shared, id=ID)
    assert infohash(shared, id=ID, infohash=CONTENT) == by_id
    assert infohash(shared, id=OTHER, content_id=ID) == by_id


def test_a_transport_file_has_an_infohash(shared: Emulator) -> None:
    first, again, other = (
        infohash(shared, url=f"http://files/{name}.acelive") for name in ("a", "a", "b")
    )
    assert first == again != other
    assert re.fullmatch("[0-9a-f]{40}", first)


@pytest.mark.parametrize(
    "query",
    [{}, {"id": "xyz"}, {"infohash": CONTENT[:-1]}, {"url": "nowhere"}, {"magnet": "magnet:?"}],
)
def test_what_cannot_be_loaded(shared: Emulator, query: dict[str, str]) -> None:
    before = shared.admin("GET", "/counters").json
    reply = getstream(shared, **query)
    assert (reply.status, reply.json) == (200, FAILED)
    redirect = shared.get("/ace/getstream", **query)
    assert redirect.status == 500
    assert redirect.body == b"Internal Server Error, couldn't find resource"
    assert shared.count("loads_failed") == before["loads_failed"] + 2
    assert shared.count("sessions_opened") == before["sessions_opened"]

"""Who may call what."""

import socket

import httpx
import pytest

from .bodies import started
from .conftest import BASE, Serve, Served

KEYED = [
    ("POST", "/events/stream_started"),
    ("POST", "/events/stream_ended"),
    ("POST", "/events/batch"),
    ("POST", "/provision/acestream"),
    ("POST", "/provision"),
    ("POST", "/sweeps/health"),
    ("GET", "/containers/absent/logs"),
    ("GET", "/by-label?key=a&value=b"),
    ("POST", "/gc"),
    ("POST", "/scale/0"),
    ("POST", "/engines/absent/drain"),
    ("DELETE", "/containers/absent"),
    ("DELETE", "/streams/absent"),
    ("POST", "/health/circuit-breaker/reset"),
    ("POST", "/maintenance"),
    ("DELETE", "/maintenance"),
]
READ = [
    "/engines",
    "/engines/absent",
    "/engines/health-score",
    "/containers/absent",
    "/streams",
    "/metrics",
    "/openapi.json",
    "/log",
    "/schema",
    "/health/status",
    "/vpn/status",
    "/fleet",
    "/fleet/absent",
    "/streams/absent/stats",
]
OPEN = ["/health/ready", "/orchestrator/status", "/panel", "/panel/panel.js"]
FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "evil.example:8000"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "evil.localhost.example"},
    {"Host": "localhost."},
    {"Host": "localhost:80@evil.example"},
    {"Host": "localhost@evil.example"},
    {"Host": "evil.example@localhost"},
    {"Host": "localhost:8000:8000"},
    {"Host": "localhost:http"},
    {"Host": "[localhost"},
    {"Host": "[::1]evil.example"},
    {"Host": "[evil.example]"},
    {"Host": "2130706433"},
    {"Host": "0x7f.1"},
    {"Host": "0.0.0.0"},
    {"Host": "192.0.2.1"},
    {"Host": "[::ffff:192.0.2.1]"},
    {"Host": "::1"},
    {"Host": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost.evil.example:8000"},
    {"Origin": "http://localhost:80@evil.example"},
    {"Origin": "http://localhost, http://evil.example"},
    {"Origin": "localhost"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "cross-site"},
]
OURS = [
    {"Host": "localhost:8000"},
    {"Host": "LocalHost"},
    {"Host": "localhost:"},
    {"Host": "127.0.0.1"},
    {"Host": "127.0.0.2:8000"},
    {"Host": "[::1]:8000"},
    {"Host": "[::ffff:127.0.0.1]"},
    {"Host": socket.gethostname()},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://[::1]:8000"},
    {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a link was followed
]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
async def client(serve: Serve) -> httpx.AsyncClient:
    served: Served = await serve(API_KEY="key-1", API_KEY_PREVIOUS="key-0")
    return served.client


@pytest.mark.parametrize(("method", "path"), KEYED)
async def test_these_need_the_key(client: httpx.AsyncClient, method: str, path: str) -> None:
    without = await client.request(method, path)
    assert (without.status_code, without.headers["WWW-Authenticate"]) == (401, "Bearer")
    for header in ("Basic key-1", "key-1", "Bearer", "Bearer "):
        answer = await client.request(method, path, headers={"Authorization": header})
        assert answer.status_code == 401
    for key in ("key-2", "key-", "key-11", "ключ"):
        encoded = {b"Authorization": f"Bearer {key}".encode()}
        answer = await client.request(method, path, headers=encoded)
        assert answer.status_code == 403
        assert key not in answer.text
    for key in ("key-1", "key-0"):
        answer = await client.request(method, path, json={"started": "x"}, headers=bearer(key))
        assert answer.status_code not in (401, 403)


async def test_a_key_that_only_reads_reads_all_and_changes_nothing(serve: Serve) -> None:
    served: Served = await serve(
        only_loopback=False, API_KEY="key-1", API_KEY_READ="key-r", APP_HOST="0.0.0.0"
    )
    for path in [*READ, *OPEN]:
        answer = await served.get(path, headers=bearer("key-r"))
        assert answer.status_code in (200, 404), path
        assert (await served.client.head(path, headers=bearer("key-r"))).status_code in (200, 404)
    for method, path in KEYED:
        answer = await served.client.request(method, path, headers=bearer("key-r"))
        assert answer.status_code == 403, path
        assert "may only read" in answer.json()["detail"]
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
        wrong = await served.client.request(method, path, headers=bearer("key-"))
        assert wrong.status_code == 403
        assert "WWW-Authenticate" not in wrong.headers


async def test_reads_are_open_while_we_listen_on_loopback_only(client: httpx.AsyncClient) -> None:
    for path in READ:
        assert (await client.get(path)).status_code in (200, 404), path


async def test_where_others_can_come_reads_need_the_key(serve: Serve) -> None:
    served: Served = await serve(only_loopback=False, API_KEY="key-1", APP_HOST="0.0.0.0")
    for path in READ:
        assert (await served.get(path)).status_code == 401, path
        assert (await served.get(path, headers=bearer("key-1"))).status_code in (200, 404), path
    for path in OPEN:  # clients ask these without a token
        assert (await served.get(path)).status_code == 200, path


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_without_a_key_a_page_of_another_site_changes_nothing(
    served: Served, headers: dict[str, str]
) -> None:
    answer = await served.post("/events/stream_started", started(), headers=headers)
    assert answer.status_code == 403
    assert (await served.get("/streams")).json() == []


async def test_without_a_key_our_own_names_are_served(served: Served) -> None:
    for headers in OURS:
        answer = await served.post("/events/stream_started", started(), headers=headers)
        assert answer.status_code == 202, headers


async def test_a_key_that_is_set_protects_what_is_open_too(client: httpx.AsyncClient) -> None:
    for path in READ + OPEN:
        for headers in FOREIGN:
            for more in ({}, bearer("key-2"), bearer(""), {"Authorization": "Basic key-1"}):
                answer = await client.get(path, headers=headers | more)
                assert answer.status_code == 403, (path, headers | more)
                assert "call localhost, or send Authorization: Bearer KEY" in answer.text


async def test_this_includes_what_has_no_end(client: httpx.AsyncClient) -> None:
    for path in ("/log/live", "/panel/live"):
        for headers in FOREIGN:
            assert (await client.get(path, headers=headers)).status_code == 403
            assert (await client.head(path, headers=headers)).status_code == 403


async def test_with_a_key_set_our_own_names_need_none(client: httpx.AsyncClient) -> None:
    for path in READ + OPEN:
        for headers in OURS:
            for more in ({}, bearer("key-2")):
                answer = await client.get(path, headers=headers | more)
                assert answer.status_code in (200, 404), (path, headers | more)


@pytest.mark.parametrize(("key", "change"), [("key-1", 200), ("key-0", 200), ("key-r", 403)])
async def test_a_valid_key_comes_by_any_name_where_it_may(
    serve: Serve, key: str, change: int
) -> None:
    keys = {"API_KEY": "key-1", "API_KEY_PREVIOUS": "key-0", "API_KEY_READ": "key-r"}
    served: Served = await serve(**keys)
    for headers in FOREIGN:
        for path in READ + OPEN:
            answer = await served.get(path, headers=headers | bearer(key))
            assert answer.status_code in (200, 404), (path, headers)
        posted = await served.post("/scale/0", headers=headers | bearer(key))
        assert posted.status_code == change, headers
        assert (await served.post("/scale/0", headers=headers)).status_code == 401


async def test_one_host_is_named_and_no_other_beside_it(client: httpx.AsyncClient) -> None:
    twice = [("Host", "localhost"), ("Host", "evil.example")]
    for headers in (twice, twice[::-1], [("Host", "localhost")] * 2):
        assert (await client.get("/engines", headers=headers)).status_code == 403
    both = [("Origin", "http://localhost"), ("Origin", "https://evil.example")]
    for headers in (both, both[::-1]):
        assert (await client.get("/engines", headers=headers)).status_code == 403


async def test_no_way_to_write_a_request_goes_around_it(client: httpx.AsyncClient) -> None:
    evil = {"Host": "evil.example"}
    for path in ("//engines", "/engines/", "/%65ngines", "/engines?include=all"):
        assert (await client.get(BASE + path, headers=evil)).status_code == 403, path
        assert (await client.head(BASE + path, headers=evil)).status_code == 403, path


async def test_what_no_route_answers_says_nothing(client: httpx.AsyncClient) -> None:
    for method, path, status in (
        ("GET", "/absent", 404),
        ("GET", "/panel/a/b", 404),
        ("PUT", "/engines", 405),
        ("TRACE", "/engines", 405),
        ("OPTIONS", "/engines", 401),
    ):
        answer = await client.request(method, path, headers={"Host": "evil.example"})
        assert answer.status_code == status, (method, path)
        assert set(answer.json()) == {"detail"}


async def test_a_wider_listener_is_open_by_any_name_where_it_is_open(serve: Serve) -> None:
    """A client polls the status without a token, by the name it was given."""
    served: Served = await serve(only_loopback=False, API_KEY="key-1", APP_HOST="0.0.0.0")
    for headers in FOREIGN:
        for path in OPEN:
            assert (await served.get(path, headers=headers)).status_code in (200, 404)
        for path in READ:
            assert (await served.get(path, headers=headers)).status_code == 401
            answer = await served.get(path, headers=headers | bearer("key-1"))
            assert answer.status_code in (200, 404)


async def test_where_the_engines_are_is_here(serve: Serve) -> None:
    served: Served = await serve(API_KEY="key-1", ENGINE_HOST="192.0.2.9")
    assert (await served.get("/engines", headers={"Host": "192.0.2.9:8000"})).status_code == 200

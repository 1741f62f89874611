"""Who may call what."""

import httpx
import pytest

from .bodies import started
from .conftest import Serve, Served

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
    "/streams/absent/stats",
]
OPEN = ["/health/ready", "/orchestrator/status"]


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


async def test_without_a_key_a_page_of_another_site_reaches_nothing(served: Served) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        answer = await served.post("/events/stream_started", started(), headers={"Host": host})
        assert answer.status_code == 403
    for host in ("localhost:8000", "127.0.0.1", "127.0.0.2:8000", "[::1]:8000", "LOCALHOST"):
        answer = await served.post("/events/stream_started", started(), headers={"Host": host})
        assert answer.status_code == 202
    for origin in ("https://evil.example", "http://localhost.evil.example:8000", "null", ""):
        answer = await served.post("/health/circuit-breaker/reset", headers={"Origin": origin})
        assert answer.status_code == 403
    for origin in ("http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000"):
        answer = await served.post("/health/circuit-breaker/reset", headers={"Origin": origin})
        assert answer.status_code == 200

"""What clients ask to see whether their engine lives."""

from typing import Any

import httpx

from acekeeper.gateway.door import Door
from acekeeper.gateway.liveness import Liveness

from ..api.conftest import Serve, Served, serve  # noqa: F401 (a fixture)

ASKED = [
    "/webui/api/service?method=get_version",
    "/server/api?api_version=3&method=get_status",
    "/server/api?api_version=3&method=get_network_connection_status",
    "/webui/api/service?method=other",
    "/webui/api/service",
    "/server/api?api_version=3&method=other",
    "/server/api?method=get_status",
    "/server/api?api_version=2&method=get_status",
]
NO_ENGINE = {"MIN_REPLICAS": "1", "ENGINE_COMMAND": "/nowhere/engine {http_port}"}


def player(service: Served) -> httpx.AsyncClient:
    door: Any = Door(Liveness(service.context.loop).routes(), ())
    transport = httpx.ASGITransport(door)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:6878")


async def test_it_is_answered_as_an_engine_answers(serve: Serve) -> None:  # noqa: F811
    service: Served = await serve(MIN_REPLICAS="1")
    await service.until(lambda s: any(e.listed for e in s.context.state.engines.values()))
    engine = f"http://127.0.0.1:{service.settings.port_range_host[0]}"
    async with player(service) as asking, httpx.AsyncClient(trust_env=False) as outside:
        for path in ASKED:
            ours, an_engines = await asking.get(path), await outside.get(engine + path)
            assert ours.status_code == an_engines.status_code, path
            assert ours.content == an_engines.content, path
            assert ours.headers["content-type"] == an_engines.headers["content-type"], path


async def test_an_engine_that_can_be_started_or_is_starting_is_enough(
    serve: Serve,  # noqa: F811
) -> None:
    service: Served = await serve(MAX_REPLICAS="1", ENGINE_COMMAND="sleep 99 {http_port}")
    async with player(service) as asking:
        assert [(await asking.get(path)).status_code for path in ASKED[:3]] == [200] * 3
        assert (await service.post("/provision/acestream", {})).status_code == 200
        # It is the only one there may be, not ready yet, and somebody's already.
        assert [(await asking.get(path)).status_code for path in ASKED[:3]] == [200] * 3


async def test_where_no_engine_can_be_had_a_check_fails_and_says_why(serve: Serve) -> None:  # noqa: F811
    service: Served = await serve(CIRCUIT_BREAKER_THRESHOLD="1", **NO_ENGINE)
    await service.until(lambda s: s.context.state.breaker.opened)
    async with player(service) as asking:
        version, status, network = [await asking.get(path) for path in ASKED[:3]]
        unknown = await asking.get(ASKED[3])
    for answer in (version, status, network):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
    assert version.json()["result"] is None
    assert "starts failed in a row" in version.json()["error"]
    assert status.json() == network.json()
    assert status.json()["error"] == {"message": version.json()["error"], "code": 0}
    assert unknown.status_code == 200

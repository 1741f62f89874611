"""The dashboard: all of it shows something, as a real Prometheus answers."""

import importlib.util
import itertools
import json
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import CONTENT_TYPE_LATEST

from acekeeper.adapters.processes import stop_all
from acekeeper.core.gateway.model import HostAnswer
from acekeeper.core.state import State
from acekeeper.metrics import Metrics
from acekeeper.metrics.fleet import Fleet
from acekeeper.metrics.vpns import Vpns

from ..api.fleets import put, replica
from ..api.vpns import RULES, carried, told, with_engines
from ..requirements.engine import HANGABLE
from ..requirements.test_11_monitoring import QUERIES as DOCUMENT
from ..running import Service, settings, until
from ..serving import serving
from ..usecases.house import Clock
from .prometheus import Prometheus
from .rules import FILES, ROOT
from .tools import needs

FILE = FILES / "dashboard.json"
SAID: Any = json.loads(FILE.read_text("utf-8"))
PANELS = [panel for panel in SAID["panels"] if panel["type"] != "row"]
LIMIT_S = 120.0
OF_VPNS = "acekeeper_vpn_"
OF_FLEET = "acekeeper_fleet_"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "ansible/dashboard.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_the_script_makes(script: ModuleType) -> None:
    assert FILE.read_text("utf-8") == script.text(), "run `make dashboard`"


def test_grafana_s_own_model_knows_all_of_it() -> None:
    again = json.loads(json.dumps(Dashboard.from_json(SAID), cls=JSONEncoder))
    assert again == SAID


def test_every_panel_has_a_unit_a_description_and_a_place_of_its_own() -> None:
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        assert all("{{instance}}" in target["legendFormat"] for target in panel["targets"])
    places = [panel["gridPos"] for panel in SAID["panels"]]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    for name in ("id", "title"):
        assert len({panel[name] for panel in SAID["panels"]}) >= len(PANELS)


def test_the_document_s_queries_are_among_them() -> None:
    titles = {panel["title"].lower() for panel in PANELS}
    queries = [q.replace(',instance=~"$instance"', "").replace('{instance=~"$instance"}', "")
               for q in _queries()]  # fmt: skip
    assert DOCUMENT["Engine Health Over Time"] in queries
    for title in ("API Request Latency", "Provisioning Success Rate", "Communication Error Rate"):
        assert title.lower() in titles
        rate = f"rate({DOCUMENT[title]}[5m])"
        whole = f"histogram_quantile(0.95, {rate})" if "bucket" in rate else rate
        assert whole in queries


@needs("prometheus")
@pytest.mark.timeout(LIMIT_S * 2)
def test_no_query_is_empty_and_every_rule_can_be_judged(tmp_path: Path) -> None:
    given = settings(
        tmp_path,
        ENGINE_COMMAND=HANGABLE,
        MIN_REPLICAS="1",
        HEALTH_CHECK_INTERVAL_S="1",
        MONITOR_INTERVAL_S="1",
        AUTOSCALE_INTERVAL_S="1",
        CIRCUIT_BREAKER_THRESHOLD="1000",
    )
    service = Service(given, tmp_path)
    try:
        service.wait_for("serving")
        players = f"http://127.0.0.1:{given['GATEWAY_PORT']}"
        with (
            Prometheus.scraping(service.address, tmp_path) as prometheus,
            httpx.Client(
                base_url="http://{}:{}".format(*service.address), timeout=LIMIT_S
            ) as client,
        ):
            _until_all_is_found(prometheus, _load(client, given, players))
    finally:
        service.kill()
        stop_all(Path(given["STATE_DIR"]))


def _until_all_is_found(prometheus: Prometheus, load: Iterator[None]) -> None:
    deadline = time.monotonic() + LIMIT_S
    missing = {q for q in _asked() if OF_VPNS not in q and OF_FLEET not in q}
    unjudged = {"?"}
    while missing or unjudged:
        assert time.monotonic() < deadline, f"no series: {sorted(missing)}, rules: {unjudged}"
        next(load)
        try:
            missing = {query for query in missing if not prometheus.finds(query)}
            rules = prometheus.rules()
        except OSError:
            continue  # it is still starting
        unjudged = {f"{r['name']}: {r.get('lastError')}" for r in rules if r["health"] != "ok"}


def test_there_is_a_row_for_each_host() -> None:
    repeated = [panel for panel in SAID["panels"] if panel.get("repeat")]
    assert [(p["type"], p["title"], p["repeat"]) for p in repeated] == [
        ("row", "Host $instance", "instance")
    ]
    below = SAID["panels"][SAID["panels"].index(repeated[0]) + 1 :]
    assert {panel["type"] for panel in below} == {"timeseries"}


@needs("prometheus")
@pytest.mark.timeout(LIMIT_S * 2)
def test_no_query_about_vpns_or_a_fleet_is_empty(tmp_path: Path) -> None:
    metrics = Metrics(Clock(), RULES.vpns)
    metrics.add(Vpns(told(carried("de", 300, 200), state=with_engines()), RULES))
    state = State()
    put(state, replica("media-1"))
    metrics.add(Fleet(state, Clock(), lambda: 90.0))
    metrics.fleet_answered("media-1", HostAnswer.PLAYED)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.end_headers()
            self.wfile.writelines(metrics.exposition())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    asked = [query for query in _asked() if OF_VPNS in query or OF_FLEET in query]
    assert asked
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = ("127.0.0.1", server.server_port)
    with serving(server), Prometheus.scraping(address, tmp_path) as prometheus:
        for query in asked:
            until(partial(_finds, prometheus, query))


def _finds(prometheus: Prometheus, query: str) -> bool:
    try:
        return prometheus.finds(query)
    except OSError:
        return False  # it is still starting


def _load(client: httpx.Client, given: dict[str, str], players: str) -> Iterator[None]:
    """One viewer who stays; a player of the gateway now and then; and viewers again and again who
    ask for an engine that then dies."""
    base = int(given["PORT_RANGE_HOST"].partition("-")[0])
    admin = int(given["ENGINE_API_BASE"])
    watched = 0
    for n in itertools.count():
        client.get("/engines")
        client.get("/streams")
        client.get("/engines/nobody")
        answer = client.post("/provision/acestream", json={})
        port = answer.json()["host_http_port"] if answer.status_code == 200 else 0
        if port and not watched:
            watched = port if _watch(client, port, f"{n:040x}") else 0
        elif port:
            _play(client, players, f"{n:040x}")
            client.post(f"http://127.0.0.1:{admin + port - base}/crash", json={"exit_code": 3})
        yield


def _play(client: httpx.Client, players: str, content: str) -> None:
    """Up to where the picture is; an engine may be gone by then."""
    session = client.get(f"{players}/ace/getstream?id={content}")
    if session.status_code == 302:
        client.get(session.headers["location"])


def _watch(client: httpx.Client, port: int, content: str) -> bool:
    """Whether the engine is ready to play."""
    try:
        asked = client.get(f"http://127.0.0.1:{port}/ace/getstream?format=json&id={content}")
    except httpx.TransportError:
        return False
    urls = asked.json()["response"]
    session = {
        "playback_session_id": urls["stat_url"].rpartition("/")[2],
        "stat_url": urls["stat_url"],
        "command_url": urls["command_url"],
        "is_live": 1,
    }
    told = client.post(
        "/events/stream_started",
        json={
            "engine": {"host": "127.0.0.1", "port": port},
            "stream": {"key_type": "content_id", "key": content},
            "session": session,
        },
    )
    return told.status_code == 202


def _asked() -> set[str]:
    return {q.replace("$instance", ".+").replace("$__rate_interval", "1m") for q in _queries()}


def _queries() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]

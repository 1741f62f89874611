"""What `acekeeper status` and `acekeeper engines` make of VPNs."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest

from acekeeper.api.views import Views
from acekeeper.api.vpns import report, totals
from acekeeper.cli import overview
from acekeeper.core.facts import VpnSilent
from acekeeper.core.state import State
from acekeeper.settings import load

from .conftest import Served
from .vpns import PORT, RULES, answered, ended, engine, started, told, with_engines

Look = Callable[[State], Awaitable[overview.Overview]]
IMAGE = f"name@sha256:{'0' * 64}"


@pytest.fixture
def look(served: Served, monkeypatch: pytest.MonkeyPatch) -> Look:
    """At a service that is real but for its VPNs and engines."""

    async def looked(state: State) -> overview.Overview:
        paths = ["/health/ready", "/orchestrator/status", "/streams?status=started"]
        answers = {path: (await served.get(path)).json() for path in paths}
        answers["/orchestrator/status"]["vpn"] = msgspec.to_builtins(totals(state, RULES))
        answers["/vpn/status"] = msgspec.to_builtins(report(state, RULES))
        answers["/engines?include=all"] = msgspec.json.decode(Views(state, RULES).all_engines())

        def call(_: object, __: str, path: str, **___: object) -> Any:
            return [] if path.startswith("/log?") else answers[path]

        monkeypatch.setattr(overview, "call", call)
        return overview.look(load({"RUNTIME": "quadlet", "TARGET_IMAGE": IMAGE}))

    return looked


def of_vpns(shown: overview.Overview) -> Iterator[str]:
    return (line for line in overview.lines(shown) if line.startswith("vpn "))


async def test_status_has_a_line_for_each(look: Look) -> None:
    state = with_engines(engine(0, "de", PORT), engine(1, "de"), engine(10, "ch"))
    told(ended("ch"), state=state)
    shown = await look(state)
    first, second = of_vpns(shown)
    moment, since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", r"\d+ days ago"
    says = r"2 engines, seen as 203\.0\.113\.7 \(Germany\), port 40123 \(engine-19000\)"
    assert re.fullmatch(rf"vpn de: connected since {moment}, {since}; {says}", first)
    assert re.fullmatch(rf"vpn ch: stopped since {moment}, {since}; 1 engine", second)
    assert [vpn["name"] for vpn in shown.vpns] == ["de", "ch"]


async def test_a_port_that_no_engine_has_and_one_that_is_not_known_yet(look: Look) -> None:
    first, second = of_vpns(await look(told(started("de"), answered("de", PORT))))
    assert first.endswith("; 0 engines, seen as 203.0.113.7 (Germany), port 40123")
    assert second == "vpn ch: unknown; 0 engines"


async def test_why_one_cannot_be_asked(look: Look) -> None:
    silent = VpnSilent("de", "de-start", "401: VPN_API_KEY is wrong")
    first, _ = of_vpns(await look(told(started("de"), silent)))
    assert re.fullmatch(r"vpn de: connecting .*; 0 engines, cannot be asked: 401: .* wrong", first)


async def test_the_table_says_behind_which_an_engine_is(look: Look) -> None:
    state = with_engines(engine(0, "de", PORT), engine(10, "ch"), engine(20))
    header, *rows = list(overview.lines(await look(state)))[-4:]
    assert header.split()[:3] == ["ENGINE", "ADDRESS", "VPN"]
    assert [re.split(" {2,}", row)[2] for row in rows] == ["de, forwarded", "ch", "-"]


async def test_nothing_is_to_be_forwarded_on_the_router(look: Look) -> None:
    assert (await look(with_engines())).forward == ""


async def test_without_vpns_nothing_is_said_of_any(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = (await served.get("/orchestrator/status")).json()["vpn"]
    monkeypatch.setattr(f"{__name__}.totals", lambda *_: without)
    state = State()
    state.put(engine(0))
    shown = await look(state)
    assert shown.vpns == ()
    assert shown.forward
    lines = list(overview.lines(shown))
    assert not [line for line in lines if "vpn" in line.lower()]

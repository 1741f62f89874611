"""What the API says of VPNs, and of the engines behind them."""

import msgspec
import pytest

from acekeeper.api.views import Views
from acekeeper.api.vpns import report, totals
from acekeeper.core.facts import Fact, TimePassed, VpnSilent
from acekeeper.core.state import State

from ..core import growing
from ..core.world import rules
from .conftest import Served
from .vpns import NOW, PORT, RULES, answered, carried, ended, engine, started, told, with_engines


def forwarded(views: Views) -> list[str]:
    engines = msgspec.json.decode(views.engines()[0])
    return [e["container_name"] for e in engines if e["forwarded"]]


async def test_without_vpns_all_of_it_is_there_and_empty(served: Served) -> None:
    vpn = (await served.get("/vpn/status")).json()
    assert vpn == {
        "enabled": False,
        "connected": False,
        "health": None,
        "container": None,
        "forwarded_port": None,
        "vpns": [],
    }
    assert vpn == (await served.get("/orchestrator/status")).json()["vpn"]


async def test_what_is_told_of_a_vpn_is_what_is_shown(served: Served) -> None:
    """As if it had been started with VPNS."""
    loop = served.context.loop
    loop.rules = RULES
    await loop.tell(ended("de"))
    assert [vpn["state"] for vpn in (await served.get("/vpn/status")).json()["vpns"]] == [
        *("stopped", "unknown"),
    ]
    [wrong] = (await served.get("/health/ready")).json()["degraded"]
    assert wrong == "vpn de: it does not run; no engine starts behind it"


async def test_without_a_tunnel_nobody_gets_an_engine_and_is_told_why(served: Served) -> None:
    served.context.loop.rules = RULES
    told = {
        "error": "No VPN is connected",
        "code": "vpn_disconnected",
        "message": "no VPN has a tunnel: de is not known yet, ch is not known yet",
        "recovery_eta_seconds": 4,
        "can_retry": True,
        "should_wait": True,
    }
    answer = await served.post("/provision/acestream")
    assert (answer.status_code, answer.json()) == (503, {"detail": told})
    assert answer.headers["Retry-After"] == "4"


def test_each_vpn_is_told_with_its_engines_and_its_port() -> None:
    state = with_engines(engine(0, "de", PORT), engine(1, "de"), engine(10, "ch"))
    told(carried("de", 300, 200), state=state)
    shown = msgspec.to_builtins(report(state, RULES))
    assert shown.pop("vpns") == [
        {
            "name": "de",
            "state": "connected",
            "since": "2023-11-14T22:13:20Z",
            "public_ip": "203.0.113.7",
            "country": "Germany",
            "port": PORT,
            "engines": ["engine-19000", "engine-19001"],
            "forwarded_engine": "engine-19000",
            "silent": None,
            "received_bytes": 300,
            "sent_bytes": 200,
        },
        {
            "name": "ch",
            "state": "connected",
            "since": "2023-11-14T22:13:20Z",
            "public_ip": "203.0.113.7",
            "country": "Germany",
            "port": None,
            "engines": ["engine-19010"],
            "forwarded_engine": None,
            "silent": None,
            "received_bytes": None,
            "sent_bytes": None,
        },
    ]
    assert shown == {
        "enabled": True,
        "connected": True,
        "health": "healthy",
        "container": "vpn-de",
        "forwarded_port": PORT,
    }


def test_who_has_no_key_is_not_told_where_a_vpn_leads() -> None:
    state = with_engines(engine(0, "de", PORT))
    shown = msgspec.to_builtins(totals(state, RULES))
    assert shown["vpns"] == [
        {"name": "de", "state": "connected", "engines": 1, "port": PORT},
        {"name": "ch", "state": "connected", "engines": 0, "port": None},
    ]
    assert b"203.0.113.7" not in msgspec.json.encode(totals(state, RULES))


def test_the_one_that_is_named_has_a_tunnel() -> None:
    state = with_engines()
    told(answered("de", is_healthy=False), state=state)
    shown = totals(state, RULES)
    assert (shown.connected, shown.container, shown.forwarded_port) == (True, "vpn-ch", None)


def test_without_any_tunnel_it_is_unhealthy() -> None:
    for state in (State(), told(started("de"), started("ch")), told(ended("de"))):
        shown = report(state, RULES)
        said = shown.enabled, shown.connected, shown.health, shown.container, shown.forwarded_port
        assert said == (True, False, "unhealthy", None, None)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ([], "unknown"),
        ([ended("de")], "stopped"),
        ([started("de")], "connecting"),
        ([started("de"), answered("de")], "connected"),
        ([started("de"), answered("de"), answered("de", is_healthy=False)], "lost"),
        ([started("de"), answered("de"), VpnSilent("de", "de-start", "no answer")], "silent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tunnel_is_told_as_it_is(facts: list[Fact], state: str) -> None:
    first, second = report(told(*facts), RULES).vpns
    assert (first.name, first.state, first.since is None) == ("de", state, state == "unknown")
    assert (second.name, second.state) == ("ch", "unknown")


def test_an_engine_says_which_vpn_it_is_behind_and_whether_peers_come_in() -> None:
    state = with_engines(engine(0, "de", PORT), engine(1, "de"), engine(2))
    engines = msgspec.json.decode(Views(state, RULES).engines()[0])
    shown = [(e["vpn"], e["forwarded"]) for e in engines]
    assert shown == [("de", True), ("de", False), (None, False)]


@pytest.mark.parametrize(
    ("fact", "names"),
    [
        (answered("de", PORT + 1), []),
        (answered("de", 0), []),
        (answered("ch", PORT), ["engine-19000", "engine-19010"]),
    ],
    ids=["other", "none", "one-more"],
)
def test_the_list_changes_when_the_vpn_alone_changes(fact: Fact, names: list[str]) -> None:
    """Nothing is told of the engine itself: what was encoded of it is not what it is now."""
    state = with_engines(engine(0, "de", PORT), engine(10, "ch", PORT))
    views = Views(state, RULES)
    before = views.engines()
    assert forwarded(views) == ["engine-19000"]
    told(fact, state=state)
    after = views.engines()
    assert forwarded(views) == names
    assert after[1] != before[1]
    assert after == Views(state, RULES).engines()
    told(answered("de", PORT), answered("ch", 0), state=state)
    assert views.engines() == before


def test_the_list_stays_the_same_while_bytes_go_through() -> None:
    state = with_engines(engine(0, "de", PORT))
    views = Views(state, RULES)
    before = views.engines()
    told(carried("de", 300, 200), TimePassed(), state=state)
    assert views.engines() == before


def test_of_the_list_nothing_is_made_anew_for_bytes_that_go_through() -> None:
    costs = []
    for number in (100, 1000):
        state = growing.pool(number, 0)
        views = Views(state, rules())
        told(started("de"), answered("de"), state=state)
        views.engines()
        told(carried("de", 300, 200), state=state)
        costs.append(growing.lines(views.engines))
    assert costs[1] <= 2 * costs[0]


def test_an_engine_that_is_shown_alone_is_as_it_is_on_the_list() -> None:
    state = with_engines(engine(0, "de", PORT))
    views = Views(state, RULES)
    [shown] = state.engines.values()
    assert b'"forwarded":true' in views.engine(shown)
    told(answered("de", 0), state=state, now=NOW.after(1))
    assert b'"forwarded":false' in views.engine(shown)

"""Two VPNs, and engines behind them, as facts make them known."""

from acekeeper.core.apply import apply
from acekeeper.core.facts import Fact, VpnAnswered, VpnEnded, VpnStarted, VpnTraffic
from acekeeper.core.model import Engine, Health, Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Behind

from ..core.world import rules, slot

NOW = Now(1_700_000_000.0, 1000.0)
RULES: Rules = rules(vpns=("de", "ch"), vpn_slots=10)
PORT = 40123


def told(*facts: Fact, state: State | None = None, now: Now = NOW) -> State:
    state = State() if state is None else state
    for fact in facts:
        apply(state, RULES, fact, now)
    return state


def started(vpn: str) -> VpnStarted:
    return VpnStarted(vpn, f"{vpn}-start")


def ended(vpn: str) -> VpnEnded:
    return VpnEnded(vpn, f"{vpn}-start", "exited")


def answered(vpn: str, port: int | None = None, *, is_healthy: bool = True) -> VpnAnswered:
    where = ("203.0.113.7", "Germany") if is_healthy else ("", "")
    return VpnAnswered(vpn, f"{vpn}-start", is_healthy, *where, port=port)


def carried(vpn: str, received: int, sent: int) -> VpnTraffic:
    return VpnTraffic(vpn, f"{vpn}-start", received, sent, NOW.mono)


def engine(n: int, vpn: str = "", forwarded: int = 0) -> Engine:
    return Engine(
        slot=slot(n),
        created=NOW,
        ready=NOW,
        incarnation=f"start-{n}",
        container_id=f"id-{n}",
        health=Health.HEALTHY,
        behind=Behind(vpn, f"{vpn}-start", forwarded) if vpn else None,
    )


def with_engines(*engines: Engine) -> State:
    """Both VPNs are connected, and PORT is forwarded to the first."""
    state = told(started("de"), started("ch"), answered("de", PORT), answered("ch"))
    for each in engines:
        state.put(each)
    return state

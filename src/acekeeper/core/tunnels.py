"""What is told of VPNs, and what that means for the engines behind them.

A late fact about an earlier start of a VPN changes nothing.
"""

from typing import assert_never

from msgspec.structs import replace

from acekeeper.core import admission, succession
from acekeeper.core.actions import TrustPort
from acekeeper.core.facts import (
    VpnAnswered,
    VpnEnded,
    VpnFact,
    VpnSilent,
    VpnStarted,
    VpnTraffic,
)
from acekeeper.core.model import Engine, Health, Now
from acekeeper.core.state import State
from acekeeper.core.vpn import Traffic, Tunnel, Vpn


def told(state: State, fact: VpnFact, now: Now) -> None:
    known = state.vpns.get(fact.vpn)
    match fact:
        case VpnStarted():
            _started(state, known, fact, now)
        case VpnEnded(name, incarnation, why):
            if known is None:
                _put(state, Vpn(name=name, since=now.wall, port_since=now.mono), now)
            elif known.incarnation and incarnation in ("", known.incarnation):
                _ended(state, known, why, now)
        case VpnAnswered() | VpnSilent() | VpnTraffic():
            if known is not None and known.incarnation == fact.incarnation != "":
                _put(state, _heard(state, known, fact, now), now)
        case _:
            assert_never(fact)


def trusted(state: State, action: TrustPort) -> None:
    vpn = state.vpns.get(action.vpn)
    if vpn is not None and vpn.incarnation == action.incarnation and vpn.port == action.port:
        state.put_vpn(replace(vpn, trusted_port=vpn.port))


def _started(state: State, known: Vpn | None, fact: VpnStarted, now: Now) -> None:
    if known is not None and known.incarnation == fact.incarnation:
        return
    if known is not None and known.incarnation:
        _ended(state, known, "restarted", now)
    new = Vpn(
        name=fact.vpn,
        incarnation=fact.incarnation,
        since=now.wall,
        tunnel=Tunnel.CONNECTING,
        had_port=known is not None and known.had_port,
        port_since=now.mono,
    )
    _put(state, new, now)
    state.tell("vpn_started", vpn=new.name)


def _ended(state: State, vpn: Vpn, why: str, now: Now) -> None:
    state.tell("vpn_ended", vpn=vpn.name, why=why or None, had_tunnel=vpn.is_connected)
    ended = Vpn(name=vpn.name, since=now.wall, had_port=vpn.had_port, port_since=now.mono)
    _put(state, ended, now)


def _heard(state: State, vpn: Vpn, fact: VpnAnswered | VpnSilent | VpnTraffic, now: Now) -> Vpn:
    """With what follows for its tunnel."""
    match fact:
        case VpnAnswered():
            vpn = _judged(_answered(state, vpn, fact, now), now)
        case VpnSilent(_, _, why, excused):
            if excused:
                return vpn
            vpn = _judged(replace(vpn, silent=why), now)
        case VpnTraffic(_, _, received, sent, at):
            traffic = Traffic(received, sent, at)
            if vpn.traffic is not None:
                traffic = vpn.traffic.after(received, sent, at)
            return _judged(replace(vpn, traffic=traffic), now)
    # What came before it was asked says nothing the next time.
    return replace(vpn, traffic=replace(vpn.traffic, is_receiving=False)) if vpn.traffic else vpn


def _answered(state: State, vpn: Vpn, fact: VpnAnswered, now: Now) -> Vpn:
    vpn = replace(
        vpn,
        was_asked=True,
        silent="",
        is_healthy=fact.is_healthy,
        public_ip=fact.public_ip,
        country=fact.country,
    )
    if fact.port is None or fact.port == vpn.port:
        return vpn
    state.tell("vpn_port_changed", vpn=vpn.name, port=fact.port, before=vpn.port)
    return replace(
        vpn,
        port=fact.port,
        port_since=now.mono,
        # The first port of a start has nothing to be withdrawn for: it is not waited for.
        trusted_port=vpn.trusted_port or fact.port,
        had_port=vpn.had_port or fact.port > 0,
    )


def _judged(vpn: Vpn, now: Now) -> Vpn:
    tunnel = _tunnel(vpn)
    if tunnel is vpn.tunnel:
        return vpn
    had_tunnel = vpn.had_tunnel or tunnel is Tunnel.CONNECTED
    return replace(vpn, tunnel=tunnel, since=now.wall, had_tunnel=had_tunnel)


def _tunnel(vpn: Vpn) -> Tunnel:
    traffic = vpn.traffic
    # It may be busy; what comes through the tunnel shows that it is there.
    if vpn.silent and not (vpn.is_healthy and traffic is not None and traffic.is_receiving):
        return Tunnel.SILENT if vpn.had_tunnel else Tunnel.CONNECTING
    if not vpn.is_healthy:
        return Tunnel.LOST if vpn.had_tunnel else Tunnel.CONNECTING
    return Tunnel.DEAD if traffic is not None and traffic.is_dead else Tunnel.CONNECTED


def _put(state: State, vpn: Vpn, now: Now) -> None:
    """With what follows for those behind it."""
    before = state.vpns.get(vpn.name)
    state.put_vpn(vpn)
    was_connected = before is not None and before.is_connected
    if vpn.is_connected and not was_connected:
        state.tell("vpn_connected", vpn=vpn.name)
    elif was_connected and vpn.incarnation and not vpn.is_connected:
        state.tell("vpn_lost", vpn=vpn.name, state=vpn.tunnel.value, why=vpn.silent or None)
    if before is not None and _for_engines(before) == _for_engines(vpn):
        return
    for engine in state.behind(vpn.name):
        if state.is_cut_off(engine):
            _cut_off(state, engine, now)
        elif vpn.is_connected and engine.health is not Health.HEALTHY:
            state.put(engine.to_be_asked())


def _for_engines(vpn: Vpn) -> tuple[str, bool, bool]:
    """All by which an engine behind it is cut off or not."""
    return vpn.incarnation, vpn.is_connected, vpn.is_unasked


def _cut_off(state: State, engine: Engine, now: Now) -> None:
    """Off the list, and whoever was promised it waits again; what plays on it is left alone."""
    after = engine
    if engine.health is Health.HEALTHY:
        succession.lost(state, engine, now)
        after = replace(engine, health=Health.UNKNOWN, unlisted=engine.unlisted or now)
    state.put(replace(after, claim=engine.claim if engine.handed else None))
    admission.turn_away(state, engine)

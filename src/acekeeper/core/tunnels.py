"""What is told of VPNs, and what that means for the engines behind them.

A late fact about an earlier start of a VPN changes nothing.
"""

from typing import assert_never

from msgspec.structs import replace

from acekeeper.core import succession
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
        case VpnStarted(name, incarnation, container_id):
            _started(state, known, name, incarnation, container_id, now)
        case VpnEnded(name, incarnation, why):
            if known is None:
                state.put_vpn(Vpn(name=name, since=now.wall))
            elif incarnation in ("", known.incarnation):
                _ended(state, known, why, now)
        case VpnAnswered() | VpnSilent() | VpnTraffic():
            if known is not None and known.incarnation == fact.incarnation != "":
                _heard(state, known, fact, now)
        case _:
            assert_never(fact)


def _heard(state: State, known: Vpn, fact: VpnAnswered | VpnSilent | VpnTraffic, now: Now) -> None:
    match fact:
        case VpnAnswered():
            _put(state, known, _answered(state, known, fact, now), now)
        case VpnSilent(_, _, why, excused):
            if not excused:
                _put(state, known, replace(known, silent=why), now)
        case VpnTraffic(_, _, received, sent, at):
            before = known.traffic
            traffic = before.after(received, sent, at) if before else Traffic(received, sent, at)
            _put(state, known, replace(known, traffic=traffic), now)
        case _:
            assert_never(fact)


def trusted(state: State, action: TrustPort) -> None:
    vpn = state.vpns.get(action.vpn)
    if vpn is not None and vpn.incarnation == action.incarnation and vpn.port == action.port:
        state.put_vpn(replace(vpn, trusted_port=vpn.port))


def _started(
    state: State, known: Vpn | None, name: str, incarnation: str, container_id: str, now: Now
) -> None:
    if known is not None and known.incarnation == incarnation:
        if container_id and container_id != known.container_id:
            state.put_vpn(replace(known, container_id=container_id))
        return
    if known is not None and known.incarnation:
        _ended(state, known, "restarted", now)
    new = Vpn(
        name=name,
        incarnation=incarnation,
        container_id=container_id,
        since=now.wall,
        tunnel=Tunnel.CONNECTING,
        had_port=known is not None and known.had_port,
        port_since=now.mono,
    )
    state.put_vpn(new)
    state.tell("vpn_started", vpn=name)


def _ended(state: State, vpn: Vpn, why: str, now: Now) -> None:
    if not vpn.incarnation:
        return
    had = vpn.is_connected
    state.put_vpn(Vpn(name=vpn.name, since=now.wall, had_port=vpn.had_port, port_since=now.mono))
    state.tell("vpn_ended", vpn=vpn.name, why=why or None, had_tunnel=had)


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
    # The first port of a start has nothing to be withdrawn for: it is not waited for.
    trusted = vpn.trusted_port or fact.port
    return replace(
        vpn,
        port=fact.port,
        port_since=now.mono,
        trusted_port=trusted,
        had_port=vpn.had_port or fact.port > 0,
    )


def _put(state: State, before: Vpn, vpn: Vpn, now: Now) -> None:
    """With what follows for its tunnel, and for those behind it."""
    tunnel = _judged(vpn)
    if tunnel is before.tunnel:
        state.put_vpn(vpn)
        return
    connected = tunnel is Tunnel.CONNECTED
    vpn = replace(vpn, tunnel=tunnel, since=now.wall, had_tunnel=vpn.had_tunnel or connected)
    state.put_vpn(vpn)
    if connected:
        state.tell("vpn_connected", vpn=vpn.name)
        for engine in _behind(state, vpn):
            if engine.health is not Health.HEALTHY:
                state.put(engine.to_be_asked())
    elif before.is_connected:
        state.tell("vpn_lost", vpn=vpn.name, state=tunnel.value, why=vpn.silent or None)
    if not connected:
        for engine in _behind(state, vpn):
            _cut_off(state, engine, now)


def _judged(vpn: Vpn) -> Tunnel:
    traffic = vpn.traffic
    if vpn.silent:
        # It may be busy; what comes through the tunnel shows that it is there.
        comes = vpn.is_healthy and traffic is not None and traffic.is_receiving
        if not comes:
            return Tunnel.SILENT if vpn.had_tunnel else Tunnel.CONNECTING
    if not vpn.is_healthy:
        return Tunnel.LOST if vpn.had_tunnel else Tunnel.CONNECTING
    return Tunnel.DEAD if traffic is not None and traffic.is_dead else Tunnel.CONNECTED


def _behind(state: State, vpn: Vpn) -> list[Engine]:
    return [
        e
        for e in state.engines.values()
        if e.behind is not None and (e.behind.vpn, e.behind.start) == (vpn.name, vpn.incarnation)
    ]


def _cut_off(state: State, engine: Engine, now: Now) -> None:
    """Off the list; what plays on it is left alone."""
    if engine.health is not Health.HEALTHY:
        return
    succession.lost(state, engine, now)
    state.put(replace(engine, health=Health.UNKNOWN, unlisted=engine.unlisted or now))

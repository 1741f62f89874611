"""What is shown of VPNs."""

from collections.abc import Iterator

from msgspec.structs import asdict

from acekeeper.api.wire import moment_or_none
from acekeeper.api.wire_status import Vpn, VpnBand, VpnDetail, VpnReport, VpnShort, VpnTotals
from acekeeper.core import vpn, vpns
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


def totals(state: State, rules: Rules) -> Vpn:
    """Open to all, so without the places that the VPNs lead to."""
    short = [VpnShort(d.name, d.state, len(d.engines), d.port) for d in _details(state, rules)]
    return Vpn(**asdict(_first(state, rules)), vpns=short)


def report(state: State, rules: Rules) -> VpnReport:
    return VpnReport(**asdict(_first(state, rules)), vpns=list(_details(state, rules)))


def bands(state: State, rules: Rules) -> list[VpnBand]:
    """Without what changes all the time: the panel is sent them anew at every change."""
    return [VpnBand(d.name, d.state, d.since, d.country, d.port) for d in _details(state, rules)]


def _first(state: State, rules: Rules) -> VpnTotals:
    connected = vpns.connected(state, rules)
    return VpnTotals(
        enabled=bool(rules.vpns),
        connected=bool(connected),
        health="healthy" if connected else "unhealthy" if rules.vpns else None,
        container=f"vpn-{connected[0].name}" if connected else None,
        forwarded_port=connected[0].port or None if connected else None,
    )


def _details(state: State, rules: Rules) -> Iterator[VpnDetail]:
    for name in rules.vpns:
        told = state.vpns.get(name)
        known = told or vpn.Vpn(name=name)
        engines = [e for e in state.engines.values() if e.behind and e.behind.vpn == name]
        forwarded = (e.slot.container_name for e in engines if vpns.is_forwarded(state, e))
        yield VpnDetail(
            name=name,
            state=known.tunnel.value if told else "unknown",
            since=moment_or_none(known.since if told else None),
            public_ip=known.public_ip or None,
            country=known.country or None,
            port=known.port or None,
            engines=[e.slot.container_name for e in engines],
            forwarded_engine=next(forwarded, None),
            silent=known.silent or None,
            received_bytes=known.traffic.received if known.traffic else None,
            sent_bytes=known.traffic.sent if known.traffic else None,
        )

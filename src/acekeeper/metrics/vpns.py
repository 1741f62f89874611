"""Gauges of each of VPNS, and the bytes through their tunnels."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Vpn
from acekeeper.metrics.families import FAMILIES
from acekeeper.metrics.series import gauge

_RX, _TX = "acekeeper_vpn_rx_bytes_total", "acekeeper_vpn_tx_bytes_total"


class Vpns(Collector):
    def __init__(self, state: State, rules: Rules) -> None:
        self._state = state
        self._names = rules.vpns

    def collect(self) -> Iterator[Metric]:
        # One of which nobody told yet has no tunnel that anybody knows of.
        vpns = [self._state.vpns.get(name) or Vpn(name=name) for name in self._names]
        engines = Counter(e.behind.vpn for e in self._state.engines.values() if e.behind)
        up, tunnel = gauge("acekeeper_vpn_up"), gauge("acekeeper_vpn_tunnel")
        behind, forwarded = gauge("acekeeper_vpn_engines"), gauge("acekeeper_vpn_forwarded")
        received, sent = _bytes(_RX), _bytes(_TX)
        for vpn in vpns:
            name = [vpn.name]
            up.add_metric(name, bool(vpn.incarnation))
            tunnel.add_metric(name, vpn.is_connected)
            behind.add_metric(name, engines[vpn.name])
            if vpn.had_port:
                forwarded.add_metric(name, vpn.port > 0)
            if vpn.traffic is not None:
                received.add_metric(name, vpn.traffic.received)
                sent.add_metric(name, vpn.traffic.sent)
        yield from (up, tunnel, behind, forwarded, received, sent)


def _bytes(name: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, FAMILIES[name].meaning, labels=[*FAMILIES[name].labels])

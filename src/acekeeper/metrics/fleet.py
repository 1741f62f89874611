"""Gauges of the fleet as this host sees it."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from acekeeper.core.fleet.seen import standings
from acekeeper.core.state import State
from acekeeper.metrics.series import gauge
from acekeeper.usecases.protocols import Clock


class Fleet(Collector):
    """`certificate_days`: until this host's ends; None: it has none."""

    def __init__(
        self, state: State, clock: Clock, certificate_days: Callable[[], float | None]
    ) -> None:
        self._state = state
        self._clock = clock
        self._certificate_days = certificate_days

    def collect(self) -> Iterator[GaugeMetricFamily]:
        fleet, now = self._state.fleet, self._clock()
        hosts = gauge("acekeeper_fleet_hosts")
        for standing, number in standings(fleet).items():
            hosts.add_metric([standing.value], number)
        yield hosts
        yield gauge("acekeeper_fleet_link_up", fleet.link.is_up)
        ages = gauge("acekeeper_fleet_beat_age_seconds")
        for host, replica in fleet.hosts.items():
            ages.add_metric([host], now.mono - replica.heard)
        yield ages
        days = gauge("acekeeper_fleet_certificate_days")
        if (left := self._certificate_days()) is not None:
            days.add_metric([], left)
        yield days

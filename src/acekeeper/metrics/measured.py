"""The registry, and what is counted and measured where it is done."""

from collections.abc import Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from acekeeper.core.gateway.model import HostAnswer
from acekeeper.metrics.errors import Errors
from acekeeper.metrics.gateway import Gateway
from acekeeper.metrics.happened import Happened
from acekeeper.metrics.series import counter, histogram
from acekeeper.usecases.protocols import Clock
from acekeeper.usecases.sweep import Kind

_FAILURES = (500, 503)


class Metrics:
    """Any thread may tell it."""

    def __init__(self, clock: Clock, vpns: Sequence[str] = ()) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series each
        registry = self._registry = CollectorRegistry()
        self._requests = counter("orch_api_requests_total", registry)
        self._duration = histogram("orch_api_duration_seconds", registry)
        # Looking up a series by its labels costs more than counting in it.
        self._bound: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        # By family: its series, and its text but for their values.
        self._texts: dict[str, tuple[list[tuple[str, dict[str, str]]], str, list[str]]] = {}
        errors, gateway = Errors(registry), Gateway(registry, clock)
        self.add = registry.register
        self.observe = Happened(registry, errors, gateway, vpns).observe
        self.communication_failed = errors.failed
        self.gateway_answered = gateway.answered
        self.gateway_pictured = gateway.pictured
        self.gateway_left_picture = gateway.left_picture
        self.gateway_turned_away = gateway.turned_away
        self.committed = histogram("orch_store_commit_seconds", registry).observe
        self.lagged = histogram("orch_loop_lag_seconds", registry).observe
        self._events_failed = counter("orch_events_failed_total", registry)
        self._sweeps = histogram("orch_sweep_duration_seconds", registry)
        self._probes = histogram("orch_probe_duration_seconds", registry)
        self._dbus = histogram("orch_dbus_call_duration_seconds", registry)
        self._podman = histogram("orch_podman_call_duration_seconds", registry)
        self._fleet_plays = counter("acekeeper_fleet_plays_total", registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def exposition(self) -> Iterator[bytes]:
        """A family at a time, so that others can be served in between."""
        return map(self._text, self._registry.collect())

    def _text(self, family: Metric) -> bytes:
        """As `generate_latest` writes it, whose work is most of all for what stays: the names."""
        series = [(sample.name, sample.labels) for sample in family.samples]
        known, head, names = self._texts.get(family.name, (None, "", []))
        if known != series:
            about, kind, *lines, _ = generate_latest(_Only(family)).decode().split("\n")
            head, names = f"{about}\n{kind}\n", [line.rpartition(" ")[0] for line in lines]
            self._texts[family.name] = series, head, names
        values = (floatToGoString(s.value) for s in family.samples)  # type: ignore[no-untyped-call]
        return (head + "".join(map("{} {}\n".format, names, values))).encode()

    def answered(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """`endpoint` is the route's template, so that its values are few."""
        key = (endpoint, method, status)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._requests.labels(*key), self._duration.labels(endpoint, method)
            for failure in _FAILURES:  # a rate sees no error with which its series begins
                self._requests.labels(endpoint, method, failure)
            self._bound[key] = bound
        requests, duration = bound
        requests.inc()
        duration.observe(seconds)

    def event_failed(self, event: str, number: int = 1) -> None:
        self._events_failed.labels(event).inc(number)

    def swept(self, kind: Kind, seconds: float) -> None:
        self._sweeps.labels(kind).observe(seconds)

    def probed(self, seconds: float, answered: bool) -> None:
        self._probes.labels("true" if answered else "false").observe(seconds)

    def asked_systemd(self, method: str, seconds: float) -> None:
        self._dbus.labels(method).observe(seconds)

    def asked_podman(self, call: str, seconds: float) -> None:
        self._podman.labels(call).observe(seconds)

    def fleet_answered(self, host: str, answer: HostAnswer) -> None:
        """What became of a play that another host was asked for."""
        for each in HostAnswer:  # a rate sees no answer with which its series begins
            self._fleet_plays.labels(host, each)
        self._fleet_plays.labels(host, answer).inc()


class _Only(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family

"""What Prometheus sees, by the names of the user's document. Gauges read the state itself."""

from collections.abc import Callable, Iterator
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from acekeeper.core.breaker import Circuit, circuit
from acekeeper.core.model import Happening, Health, Now, Rules, State
from acekeeper.errors import Failure

_START_BUCKETS = (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120)
_ERRORS = {  # happenings: source and type of what failed
    "playback_failed": ("engine", "playback"),
    "engine_stop_failed": ("runtime", "stop"),
    "runtime_lost": ("runtime", "lost"),
}
_TIMEOUTS = {  # causes of a failed start: the same
    "start_timeout": ("engine", "start_timeout"),
    "runtime_timeout": ("runtime", "timeout"),
}
_CALLS = [("api", "timeout"), *product(("systemd", "podman", "engine"), Failure)]


class Metrics:
    def __init__(self, state: State, rules: Rules, clock: Callable[[], Now]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series each
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "orch_api_requests_total",
            "API requests answered",
            ["endpoint", "method", "status"],
            registry=registry,
        )
        self._duration = Histogram(
            "orch_api_duration_seconds",
            "Time from a request's arrival to the start of its answer",
            ["endpoint", "method"],
            registry=registry,
        )
        self._starts = Histogram(
            "orch_provision_duration_seconds",
            "Time from asking for an engine's start to its readiness or failure",
            ["success"],
            buckets=_START_BUCKETS,
            registry=registry,
        )
        self._provisions = Counter(
            "orch_provision_total", "Engines handed out", ["kind"], registry=registry
        )
        self._errors = Counter(
            "orch_communication_errors_total",
            "Failed calls to the outside",
            ["source", "error_type"],
            registry=registry,
        )
        self._started = Counter(
            "orch_events_started_total", "Streams that started", registry=registry
        )
        self._ended = Counter("orch_events_ended_total", "Streams that ended", registry=registry)
        # Looking up a series by its labels costs more than counting in it.
        self._bound: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        for success in ("true", "false"):
            self._starts.labels(success)
        self._provisions.labels("acestream")
        for source, error_type in (*_ERRORS.values(), *_TIMEOUTS.values(), *_CALLS):
            self._errors.labels(source, error_type)
        registry.register(_Pool(state, rules, clock))

    def exposition(self) -> bytes:
        return generate_latest(self._registry)

    def answered(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """`endpoint` is the route's template, so that its values are few."""
        key = (endpoint, method, status)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._requests.labels(*key), self._duration.labels(endpoint, method)
            self._bound[key] = bound
        requests, duration = bound
        requests.inc()
        duration.observe(seconds)

    def communication_failed(self, source: str, error_type: str) -> None:
        self._errors.labels(source, error_type).inc()

    def observe(self, happening: Happening) -> None:
        seconds = happening.data.get("seconds")
        match happening.kind:
            case "stream_started":
                self._started.inc()
            case "stream_ended":
                self._ended.inc()
            case "engine_granted":
                self._provisions.labels("acestream").inc()
            case "engine_ready" if isinstance(seconds, float):
                self._starts.labels("true").observe(seconds)
            case "engine_start_failed" if isinstance(seconds, float):
                self._starts.labels("false").observe(seconds)
                if failure := _TIMEOUTS.get(str(happening.data.get("cause"))):
                    self.communication_failed(*failure)
            case "engine_died" if happening.data["starting"] and isinstance(seconds, float):
                self._starts.labels("false").observe(seconds)
            case kind if kind in _ERRORS:
                self.communication_failed(*_ERRORS[kind])
            case _:
                pass


class _Pool(Collector):
    def __init__(self, state: State, rules: Rules, clock: Callable[[], Now]) -> None:
        self._state = state
        self._rules = rules
        self._clock = clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        engines = GaugeMetricFamily(
            "orch_engines_total", "Engines, by what their probes say", labels=["health_status"]
        )
        for health in Health:
            count = sum(e.health is health for e in self._state.engines.values())
            engines.add_metric([health.value], count)
        yield engines
        active = len(self._state.streams) - len(self._state.ended)
        yield GaugeMetricFamily("orch_streams_active", "Streams that play", value=active)
        now = circuit(self._state.breaker, self._rules, self._clock())
        breaker = GaugeMetricFamily(
            "orch_circuit_state", "1 for the state the breaker is in", labels=["state"]
        )
        for state in Circuit:
            breaker.add_metric([state.value], state is now)
        yield breaker

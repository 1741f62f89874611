"""Failed calls to the outside, by whom they called and how they failed."""

from itertools import product

from prometheus_client import CollectorRegistry

from acekeeper.core.changes import Happening
from acekeeper.errors import Failure
from acekeeper.metrics.series import counter

_HAPPENINGS = {
    "playback_failed": ("engine", "playback"),
    "engine_stop_failed": ("runtime", "stop"),
    "runtime_lost": ("runtime", "lost"),
}
_TIMEOUTS = {  # causes of a failed start
    "start_timeout": ("engine", "start_timeout"),
    "runtime_timeout": ("runtime", "timeout"),
}
_CALLS = [("api", "timeout"), *product(("systemd", "podman", "engine"), Failure)]


class Errors:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = counter("orch_communication_errors_total", registry)
        for source, error_type in (*_HAPPENINGS.values(), *_TIMEOUTS.values(), *_CALLS):
            self._counter.labels(source, error_type)

    def failed(self, source: str, error_type: str) -> None:
        self._counter.labels(source, error_type).inc()

    def happened(self, happening: Happening) -> None:
        failure = _HAPPENINGS.get(happening.kind)
        if happening.kind == "engine_start_failed":
            failure = _TIMEOUTS.get(str(happening.data.get("cause")))
        if failure is not None:
            self.failed(*failure)

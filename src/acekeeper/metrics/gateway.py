"""Counters and measures of what the gateway's players get."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from acekeeper.core.changes import Happening
from acekeeper.metrics.families import FAMILIES, GatewayAnswer
from acekeeper.metrics.series import counter, histogram
from acekeeper.usecases.protocols import Clock

_AT_THE_DOOR: Mapping[int, GatewayAnswer] = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    414: "bad_request",
    501: "bad_request",
}
_FAILURES = frozenset({"silent", "no_picture", "left_without_picture"})
_PATIENT_S = 10.0  # a player that goes on to the next channel sooner did not wait in vain
_FAILS_FOR_S = 600.0
_FAILING_MOST = 1024


class Gateway:
    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[str, float] = {}  # contents, oldest first; monotonic
        self._requests = counter("acekeeper_gateway_requests_total", registry)
        self._opens = histogram("acekeeper_gateway_open_seconds", registry)
        self._pictures = histogram("acekeeper_gateway_picture_seconds", registry)
        self._hedges = counter("acekeeper_gateway_hedges_total", registry)
        name = "acekeeper_gateway_contents_failing"
        failing = Gauge(name, FAMILIES[name].meaning, registry=registry)
        failing.set_function(self._failing)

    def answered(self, answer: GatewayAnswer, key: str = "") -> None:
        """How a request for a session or its picture ended. `key`: of its content."""
        self._requests.labels(answer).inc()
        if not key:
            return
        if answer == "picture":
            self._failed.pop(key, None)
        elif answer in _FAILURES:
            self._failed.pop(key, None)  # so that the newest is the last
            self._failed[key] = self._clock().mono
            if len(self._failed) > _FAILING_MOST:
                del self._failed[next(iter(self._failed))]

    def left_picture(self, key: str, seconds: float) -> None:
        """A player hung up after it had waited so long for the picture; that is its answer."""
        self.answered("left_without_picture" if seconds >= _PATIENT_S else "left", key)

    def turned_away(self, status: int) -> None:
        """Counts requests that the door refused; how the others ended is told above."""
        if answer := _AT_THE_DOOR.get(status):
            self.answered(answer)

    def pictured(self, key: str, seconds: float) -> None:
        """A player was sent on to the picture, or was served the first list, so long after it
        asked for it; that is its answer."""
        self.answered("picture", key)
        self._pictures.observe(seconds)

    def opened(self, happening: Happening, waited: float) -> None:
        if not happening.data["moved"]:  # it waited for something else
            self._opens.observe(waited)
        if happening.data["hedged"]:
            self._hedges.labels("true" if happening.data["won"] else "false").inc()

    def _failing(self) -> float:
        begin = self._clock().mono - _FAILS_FOR_S
        return sum(at > begin for at in self._failed.values())

"""Counters and measures of what happened to the pool."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from acekeeper.core.changes import Happening
from acekeeper.metrics.errors import Errors
from acekeeper.metrics.families import FAMILIES
from acekeeper.metrics.gateway import Gateway
from acekeeper.metrics.series import counter, histogram


class Happened:
    def __init__(
        self,
        registry: CollectorRegistry,
        errors: Errors,
        gateway: Gateway,
        vpns: Sequence[str],
    ) -> None:
        self._errors = errors
        self._gateway = gateway
        self._durations = histogram("orch_provision_duration_seconds", registry)
        self._refused = counter("orch_provision_refused_total", registry)
        self._failed = counter("orch_streams_failed_total", registry)
        self._reaped = counter("orch_streams_reaped_total", registry)
        self._starts = counter("orch_engine_starts_total", registry)
        self._start_failures = counter("orch_engine_start_failures_total", registry)
        self._deaths = counter("orch_engine_deaths_total", registry)
        self._drains = counter("orch_engine_drains_total", registry)
        self._tries = counter("orch_playback_tries_total", registry)
        self._detection = histogram("orch_detection_seconds", registry)
        self._vpn_losses = counter("acekeeper_vpn_losses_total", registry)
        self._vpn_port_changes = counter("acekeeper_vpn_port_changes_total", registry)
        for vpn in vpns:
            self._vpn_losses.labels(vpn)
            self._vpn_port_changes.labels(vpn)
        suspicions = counter("orch_engine_suspicions_total", registry)
        self._counted = {
            "stream_started": counter("orch_events_started_total", registry),
            "stream_ended": counter("orch_events_ended_total", registry),
            "engine_granted": counter("orch_provision_total", registry).labels("acestream"),
            "engine_suspected": suspicions.labels("probe"),
            "playback_doubted": suspicions.labels("playback"),
            "playback_failed": self._tries.labels("failed"),
            "drain_taken_back": counter("orch_engine_drains_taken_back_total", registry),
        }

    def observe(self, happening: Happening) -> None:
        data = happening.data
        self._errors.happened(happening)
        if counted := self._counted.get(happening.kind):
            counted.inc()
        match happening.kind:
            case "stream_ended":
                if data["failed"]:
                    self._failed.labels(str(data["reason"])).inc()
                if data.get("reaped"):
                    self._reap(str(data["reason"]).partition(":")[0])
            case "stream_expired":
                self._reap("expired")
            case "engine_starting":
                self._starts.labels("request" if data.get("request") else "spare").inc()
            case "provision_refused":
                self._refused.labels(str(data["code"])).inc()
            case "engine_ready":
                self._durations.labels("true").observe(_seconds(happening))
            case "engine_start_failed":
                self._start_failed(happening)
            case "engine_died":
                if data["starting"]:
                    self._start_failed(happening)
                self._deaths.labels(_known("orch_engine_deaths_total", "cause", happening)).inc()
                if data.get("noticed_after") is not None:
                    self._detection.observe(_seconds(happening, "noticed_after"))
            case "playback_tried":
                self._tries.labels(str(data["verdict"])).inc()
            case "engine_draining":
                self._drains.labels(_known("orch_engine_drains_total", "reason", happening)).inc()
            case "play_opened":
                self._gateway.opened(happening, _seconds(happening, "waited"))
            case "vpn_lost":
                self._vpn_losses.labels(str(data["vpn"])).inc()
            case "vpn_ended":
                if data["had_tunnel"]:
                    self._vpn_losses.labels(str(data["vpn"])).inc()
            case "vpn_port_changed":
                if data["before"]:
                    self._vpn_port_changes.labels(str(data["vpn"])).inc()
            case _:
                pass

    def _start_failed(self, happening: Happening) -> None:
        cause = _known("orch_engine_start_failures_total", "cause", happening)
        self._start_failures.labels(cause).inc()
        self._durations.labels("false").observe(_seconds(happening))

    def _reap(self, reason: str) -> None:
        known = FAMILIES["orch_streams_reaped_total"].known("reason", reason)
        self._reaped.labels(known).inc()


def _known(family: str, label: str, happening: Happening) -> str:
    return FAMILIES[family].known(label, happening.data.get(label))


def _seconds(happening: Happening, name: str = "seconds") -> float:
    seconds = happening.data[name]
    if not isinstance(seconds, float):
        raise TypeError(f"{happening.kind} has {name} {seconds!r}")
    return seconds

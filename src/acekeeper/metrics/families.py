"""Every family of series, in one table: its kind, its labels and what it means.

The first ten are the user's document's, by its names and labels.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from msgspec import Struct

from acekeeper.core.actions import Code
from acekeeper.core.breaker import Circuit
from acekeeper.core.facts import Verdict
from acekeeper.core.fleet.model import Standing
from acekeeper.core.gateway.model import HostAnswer
from acekeeper.core.model import Health
from acekeeper.core.playback import BAD_ENDS
from acekeeper.core.rollout import REASONS
from acekeeper.usecases.sweep import Kind

OTHER = "other"  # in the place of a word that is not among the values of a label

_REQUESTS = (0.001, 0.005, 0.025, 0.1, 0.25, 1, 3, 10)
_STARTS = (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120)
_CALLS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10)
_COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1)
_DETECTIONS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5)
_PLAYS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7, 9, 15, 25)
_PICTURES = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 25, 60, 120)

# docs/metrics.md says what each means.
GatewayAnswer = Literal[
    "served",
    "refused",
    "silent",
    "no_engine",
    "left",
    "picture",
    "no_picture",
    "left_without_picture",
    "has_reader",
    "restarted",
    "bad_request",
    "forbidden",
    "not_found",
]

_ENDS = (
    *("exited", "killed", "oom", "stopped", "image", "network", "timeout", "resources"),
    *("protocol", "gone", "vpn"),
)


class Family(Struct, frozen=True):
    """`labels` with all values they can have; those with none there get theirs as they come."""

    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: Mapping[str, Sequence[str]] = {}
    buckets: Sequence[float] = ()

    def known(self, label: str, word: object) -> str:
        """A word from elsewhere as a value of a label."""
        return word if isinstance(word, str) and word in self.labels[label] else OTHER


FAMILIES: Mapping[str, Family] = {
    "orch_api_requests_total": Family(
        "counter",
        "API requests answered, by the template of the route",
        {"endpoint": (), "method": (), "status": ()},
    ),
    "orch_api_duration_seconds": Family(
        "histogram",
        "Time from a request's arrival to the start of its answer",
        {"endpoint": (), "method": ()},
        _REQUESTS,
    ),
    "orch_provision_duration_seconds": Family(
        "histogram",
        "Time from asking for an engine's start to its readiness or failure",
        {"success": ("true", "false")},
        _STARTS,
    ),
    "orch_provision_total": Family("counter", "Engines handed out", {"kind": ("acestream",)}),
    "orch_communication_errors_total": Family(
        "counter", "Failed calls to the outside", {"source": (), "error_type": ()}
    ),
    "orch_events_started_total": Family("counter", "Streams that started"),
    "orch_events_ended_total": Family("counter", "Streams that ended"),
    "orch_streams_active": Family("gauge", "Streams that play"),
    "orch_engines_total": Family(
        "gauge", "Engines, by what their probes say", {"health_status": tuple(Health)}
    ),
    "orch_circuit_state": Family(
        "gauge", "1 for the state the circuit breaker is in", {"state": tuple(Circuit)}
    ),
    "orch_build_info": Family(
        "gauge", "1, with the version that runs and RUNTIME", {"version": (), "runtime": ()}
    ),
    "orch_engine_starts_total": Family(
        "counter",
        "Starts asked for: for a request, or to keep engines ready",
        {"reason": ("request", "spare")},
    ),
    "orch_engine_start_failures_total": Family(
        "counter",
        "Starts that did not come to a ready engine, deaths before readiness among them",
        {
            "cause": (
                *("start_timeout", "runtime_timeout", "port_taken", "address_gone"),
                "runtime_unavailable",
                *_ENDS,
                OTHER,
            )
        },
    ),
    "orch_engine_deaths_total": Family(
        "counter",
        "Engines that ended by themselves, ready or not",
        {"cause": (*_ENDS, "vanished", "host_rebooted", OTHER)},
    ),
    "orch_engine_suspicions_total": Family(
        "counter",
        "Engines taken off the list until they show that they are well, by what spoke against them",
        {"reason": ("probe", "playback")},
    ),
    "orch_playback_tries_total": Family(
        "counter",
        "Tries of playback on doubted engines; those that failed found that it hangs",
        {"verdict": (*Verdict, "failed")},
    ),
    "orch_engine_drains_total": Family(
        "counter",
        "Engines taken off the list to be stopped; unhealthy ones are replaced",
        {
            "reason": (
                "unhealthy",
                "scale_down",
                *REASONS,
                *("vpn", "operator", "maintenance"),
                "session_not_stopped",
                OTHER,
            )
        },
    ),
    "orch_engine_drains_taken_back_total": Family(
        "counter",
        "Drains of engines without a fault that ended since a viewer needed the engine, or a"
        " maintenance was over",
    ),
    "orch_engines_free": Family("gauge", "Engines fit for one more viewer"),
    "orch_engines_starting": Family("gauge", "Engines that are not ready yet"),
    "orch_engines_draining": Family("gauge", "Engines that take no more viewers"),
    "orch_engines_starving": Family(
        "gauge", "Engines whose streams have had no peer and no speed for minutes"
    ),
    "acekeeper_engines_outdated": Family(
        "gauge",
        "Engines that are not as one would be that started now, by why",
        {"reason": tuple(REASONS)},
    ),
    "acekeeper_rollout_stopped": Family(
        "gauge", "1 while outdated engines are not replaced, since starts fail or cannot be"
    ),
    "orch_engines_max": Family("gauge", "MAX_REPLICAS"),
    "orch_engines_min_free": Family("gauge", "MIN_REPLICAS"),
    "orch_provision_refused_total": Family(
        "counter", "Requests that got no engine, by the code they were told", {"code": tuple(Code)}
    ),
    "orch_provisioning_blocked": Family(
        "gauge", "1 while clients are told that nothing can be provisioned"
    ),
    "orch_maintenance": Family("gauge", "1 while the host takes no viewers so that it empties"),
    "acekeeper_maintenance_seconds": Family(
        "gauge", "For how long the host has taken no viewers, 0 if it takes them"
    ),
    "orch_sweep_duration_seconds": Family(
        "histogram", "Time a sweep took that succeeded", {"kind": tuple(Kind)}, _CALLS
    ),
    "orch_sweep_last_success_timestamp_seconds": Family(
        "gauge",
        "When a sweep last succeeded; until one has, when the service started",
        {"kind": tuple(Kind)},
    ),
    "orch_sweep_interval_seconds": Family(
        "gauge", "The time between two sweeps, by the settings", {"kind": tuple(Kind)}
    ),
    "orch_probe_duration_seconds": Family(
        "histogram",
        "Time a probe of a ready engine took until it was answered or given up",
        {"answered": ("true", "false")},
        _CALLS,
    ),
    "orch_streams_reaped_total": Family(
        "counter",
        "Streams ended without an event that said so",
        {
            "reason": (
                *("unknown_to_engine", "engine_died", "engine_stopped", "superseded"),
                *("unread", "stopped_by_operator", "expired", "idle", "moved", OTHER),
            )
        },
    ),
    "orch_streams_failed_total": Family(
        "counter",
        "Streams on our engines whose end says that nothing was seen;"
        " completed is one that was so within a second",
        {"reason": BAD_ENDS},
    ),
    "orch_contents_failing": Family(
        "gauge", "Contents whose streams failed in the last ten minutes and none has played since"
    ),
    "orch_store_commit_seconds": Family(
        "histogram", "Time a write to the database took", buckets=_COMMITS
    ),
    "orch_store_queue": Family("gauge", "Writes and rows that wait for the disk"),
    "orch_store_degraded": Family("gauge", "1 while the database takes no writes, or none in time"),
    "orch_state_dir_free_bytes": Family("gauge", "Free space where STATE_DIR is, for its user"),
    "orch_state_dir_size_bytes": Family("gauge", "Size of the file system STATE_DIR is on"),
    "orch_detection_seconds": Family(
        "histogram",
        "Time from an engine's death to its absence from the pool",
        buckets=_DETECTIONS,
    ),
    "orch_dbus_call_duration_seconds": Family(
        "histogram",
        "Time a call to systemd took, answered or not",
        {
            "method": (
                *("StartUnit", "StopUnit", "ResetFailedUnit", "ListUnitsByPatterns"),
                *("Get", "GetAll"),
            )
        },
        _CALLS,
    ),
    "orch_podman_call_duration_seconds": Family(
        "histogram",
        "Time a call to Podman took, answered or not",
        {"call": ("has_image", "inspect", "logs")},
        _CALLS,
    ),
    "orch_stream_peers": Family(
        "gauge",
        "Peers of an engine's streams together, of those it answered for when last asked",
        {"engine": ()},
    ),
    "orch_stream_speed_bytes": Family(
        "gauge",
        "Bytes per second an engine's streams receive, of those it answered for when last asked",
        {"engine": ()},
    ),
    "orch_events_failed_total": Family(
        "counter",
        "Events that were not taken since they could not be put on disk",
        {"event": ("stream_started", "stream_ended")},
    ),
    "orch_loop_lag_seconds": Family(
        "histogram", "How late the service's own event loop was", buckets=_CALLS
    ),
    "orch_log_lines_lost_total": Family("counter", "Lines of the log that could not be written"),
    "acekeeper_gateway_requests_total": Family(
        "counter",
        "Requests to the gateway for a session or its picture, and those that it refuses from"
        " anybody, by how they ended",
        {"answer": get_args(GatewayAnswer)},
    ),
    "acekeeper_gateway_open_seconds": Family(
        "histogram",
        "Time from a player's request to its first session; moves to another one are not counted",
        buckets=_PLAYS,
    ),
    "acekeeper_gateway_picture_seconds": Family(
        "histogram",
        "Time from a player's request for the picture of its session until it was sent there",
        buckets=_PICTURES,
    ),
    "acekeeper_gateway_hedges_total": Family(
        "counter",
        "Plays for which another engine was asked because the first one was late, by whether the"
        " other one answered sooner",
        {"won": ("true", "false")},
    ),
    "acekeeper_gateway_contents_failing": Family(
        "gauge",
        "Contents for which a player got no session or no picture in the last ten minutes, and"
        " none got a picture since",
    ),
    "acekeeper_gateway_waiting": Family("gauge", "Players of the gateway that wait for a session"),
    "acekeeper_gateway_playing": Family("gauge", "Sessions of the gateway that play"),
    "acekeeper_gateway_holds": Family(
        "gauge", "Sessions that engines are asked to open or to stop for the gateway"
    ),
    "acekeeper_vpn_up": Family("gauge", "1 while the unit of a VPN runs", {"vpn": ()}),
    "acekeeper_vpn_tunnel": Family(
        "gauge", "1 while engines behind a VPN reach the world", {"vpn": ()}
    ),
    "acekeeper_vpn_engines": Family("gauge", "Engines behind a VPN", {"vpn": ()}),
    "acekeeper_vpn_forwarded": Family(
        "gauge",
        "1 while a VPN's provider forwards a port, 0 if it did and does not now; no series if it"
        " never did since the service started",
        {"vpn": ()},
    ),
    "acekeeper_vpn_rx_bytes_total": Family(
        "counter",
        "Bytes received through a VPN's tunnel, as far as they can be seen; from 0 again with each"
        " start of the VPN",
        {"vpn": ()},
    ),
    "acekeeper_vpn_tx_bytes_total": Family(
        "counter", "Bytes sent through a VPN's tunnel, in the same way", {"vpn": ()}
    ),
    "acekeeper_vpn_port_changes_total": Family(
        "counter",
        "Forwarded ports that a VPN's provider took back while the VPN ran, for another one or"
        " for none",
        {"vpn": ()},
    ),
    "acekeeper_vpn_losses_total": Family(
        "counter", "Tunnels lost, those among them whose VPN ended", {"vpn": ()}
    ),
    "acekeeper_fleet_hosts": Family(
        "gauge",
        "Hosts of the fleet, this one included: live ones are heard; stale ones are not, and this"
        " host counts on what they said last; lost ones get no players from here",
        {"state": tuple(Standing)},
    ),
    "acekeeper_fleet_link_up": Family(
        "gauge", "1 while messages of this host pass through a server of the fleet, else 0"
    ),
    "acekeeper_fleet_beat_age_seconds": Family(
        "gauge", "Seconds since another host was last heard", {"host": ()}
    ),
    "acekeeper_fleet_plays_total": Family(
        "counter",
        "Plays that this host asked another one to take, by the answer: refused, silent and"
        " no_engine are as for players of its own; silent also if no answer came in time;"
        " unreachable if no host of that name is connected",
        {"host": (), "answer": tuple(HostAnswer)},
    ),
    "acekeeper_fleet_certificate_days": Family(
        "gauge", "Days until this host's certificate for the fleet ends; below 0 once it has"
    ),
}

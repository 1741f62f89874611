"""Makes roles/monitoring/files/dashboard.json, for Grafana 10 and later. `make dashboard` runs it.

Four of its queries are the user's document's, for the hosts that are chosen.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    VariableRefresh,
)

FILE = Path(__file__).parent / "roles/monitoring/files/dashboard.json"
_SOURCE = DataSourceRef("prometheus", "${datasource}")
_BY_HOST = 'instance=~"$instance"'
_STARTS = "orch_provision_duration_seconds_count"
_GOOD = 'success="true",HOST'
EACH_HOST = "Host $instance"  # a row that is there for each of those that are chosen
_WIDTHS = {1: 24, 2: 12, 3: 8, 4: 6}  # of a panel, by how many are in its row


def _fixed(colour: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


_LIMIT = [
    _fixed("text"),
    DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [6, 6]}),
    DynamicConfigValue("custom.stacking", {"mode": "none"}),
    DynamicConfigValue("custom.fillOpacity", 0),
    DynamicConfigValue("custom.lineWidth", 1),
]


@dataclass(frozen=True)
class Panel:
    """`queries` with their legends; HOST stands for the hosts that are chosen. `limits` are drawn
    as broken lines, `colours` are of the legends that begin so."""

    title: str
    unit: str
    description: str
    queries: dict[str, str]
    limits: dict[str, str] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    stacked: bool = False


def _quantile(share: float, family: str, by: str = "", labels: str = "HOST") -> str:
    kept = f"instance, {by}, le" if by else "instance, le"
    rate = f"rate({family}_bucket{{{labels}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({kept}) ({rate}))"


def _rate(family: str, by: str = "", labels: str = "HOST") -> str:
    kept = f"instance, {by}" if by else "instance"
    return f"sum by ({kept}) (rate({family}{{{labels}}}[$__rate_interval]))"


def _in_an_hour(family: str, by: str = "", labels: str = "HOST") -> str:
    kept = f"instance, {by}" if by else "instance"
    return f"sum by ({kept}) (increase({family}{{{labels}}}[1h]))"


def _number_in_an_hour(family: str, by: str) -> str:
    return f"round({_in_an_hour(family, by)})"  # it is estimated, and would be a fraction


def _quantile_in_an_hour(share: float, family: str, labels: str = "HOST") -> str:
    """Of what is too rare for a shorter time."""
    return f"histogram_quantile({share}, {_in_an_hour(f'{family}_bucket', 'le', labels)})"


ROWS: dict[str, list[Panel]] = {
    "Engines": [
        Panel(
            "Engines by health",
            "short",
            "What their probes say, and how many there may be. Engines that start are"
            " unknown; so is one that failed a probe.",
            {
                'orch_engines_total{health_status="healthy",HOST}': "healthy {{instance}}",
                'orch_engines_total{health_status!="healthy",HOST}': (
                    "{{health_status}} {{instance}}"
                ),
            },
            limits={"orch_engines_max{HOST}": "MAX_REPLICAS {{instance}}"},
            colours={"healthy": "green", "unhealthy": "red", "unknown": "orange"},
            stacked=True,
        ),
        Panel(
            "Free engines",
            "short",
            "Engines fit for one more viewer, and how many are to be kept.",
            {
                "orch_engines_free{HOST}": "free {{instance}}",
                "orch_engines_starting{HOST}": "starting {{instance}}",
                "orch_engines_draining{HOST}": "draining {{instance}}",
            },
            limits={"orch_engines_min_free{HOST}": "MIN_REPLICAS {{instance}}"},
        ),
        Panel(
            "Coming and going",
            "short",
            "Starts asked for, engines that ended by themselves and engines drained, in an hour.",
            {
                _number_in_an_hour(
                    "orch_engine_starts_total", "reason"
                ): "start: {{reason}} {{instance}}",
                _number_in_an_hour(
                    "orch_engine_deaths_total", "cause"
                ): "death: {{cause}} {{instance}}",
                _number_in_an_hour(
                    "orch_engine_drains_total", "reason"
                ): "drain: {{reason}} {{instance}}",
            },
        ),
    ],
    "Streams": [
        Panel(
            "Streams",
            "short",
            "Streams that play, by what clients told and engines confirmed.",
            {"orch_streams_active{HOST}": "{{instance}}"},
        ),
        Panel(
            "Starts and ends",
            "ops",
            "Streams that started and ended; and those that ended without an event that said so.",
            {
                _rate("orch_events_started_total"): "started {{instance}}",
                _rate("orch_events_ended_total"): "ended {{instance}}",
                _rate(
                    "orch_streams_reaped_total", "reason"
                ): "without one: {{reason}} {{instance}}",
            },
        ),
        Panel(
            "Speed",
            "Bps",
            "What the streams of an engine receive, as it last said.",
            {"orch_stream_speed_bytes{HOST}": "{{engine}} {{instance}}"},
            stacked=True,
        ),
        Panel(
            "Peers",
            "short",
            "Peers of the streams of an engine. None for long is a dead content or network.",
            {"orch_stream_peers{HOST}": "{{engine}} {{instance}}"},
        ),
    ],
    "Gateway": [
        Panel(
            "What players got",
            "ops",
            "Requests for a session or its picture, by what came of them.",
            {_rate("acekeeper_gateway_requests_total", "answer"): "{{answer}} {{instance}}"},
        ),
        Panel(
            "Players' waits",
            "s",
            "Time from a player's request to its session, and from there to the picture.",
            {
                _quantile(
                    q, f"acekeeper_gateway_{what}_seconds"
                ): f"{what} {q:.0%} {{{{instance}}}}"
                for what in ("open", "picture")
                for q in (0.5, 0.95)
            },
        ),
        Panel(
            "Players",
            "short",
            "Sessions that play, players that wait for one, sessions that engines are asked to"
            " open or to stop, and contents that fail.",
            {
                f"acekeeper_gateway_{what}{{HOST}}": f"{what.replace('_', ' ')} {{{{instance}}}}"
                for what in ("playing", "waiting", "holds", "contents_failing")
            },
        ),
        Panel(
            "Two engines asked at once",
            "short",
            "Plays in an hour for which the first engine took too long; true: the other one"
            " answered sooner.",
            {_number_in_an_hour("acekeeper_gateway_hedges_total", "won"): "{{won}} {{instance}}"},
        ),
    ],
    "Playback": [
        Panel(
            "Streams that failed",
            "ops",
            "Streams whose end says that nothing was seen, beside all that ended.",
            {_rate("orch_streams_failed_total", "reason"): "{{reason}} {{instance}}"},
            limits={_rate("orch_events_ended_total"): "all ends {{instance}}"},
        ),
        Panel(
            "Contents that fail",
            "short",
            "Contents that failed in the last ten minutes and have not played since; and engines"
            " whose streams have had nothing for minutes.",
            {
                "orch_contents_failing{HOST}": "contents {{instance}}",
                "orch_engines_starving{HOST}": "starving engines {{instance}}",
            },
        ),
        Panel(
            "Tries of playback",
            "short",
            "What acekeeper found on engines it doubted, in an hour: starved is the network or the"
            " content, failed an engine that hangs.",
            {
                _number_in_an_hour(
                    "orch_playback_tries_total", "verdict"
                ): "{{verdict}} {{instance}}",
            },
        ),
    ],
    "API": [
        Panel(
            "Requests",
            "reqps",
            "Answers by route.",
            {
                _rate("orch_api_requests_total", "endpoint, method"): (
                    "{{method}} {{endpoint}} {{instance}}"
                )
            },
            stacked=True,
        ),
        Panel(
            "API request latency",
            "s",
            "What 95 of 100 requests stay below. A provision may take 2.5 s, a sweep longer.",
            {
                "histogram_quantile(0.95, rate(orch_api_duration_seconds_bucket{HOST}[5m]))": (
                    "{{method}} {{endpoint}} {{instance}}"
                )
            },
        ),
        Panel(
            "Errors",
            "reqps",
            "Answers that were 5xx or 4xx; a provision that is refused is 503.",
            {
                _rate("orch_api_requests_total", "status", 'status=~"[45]..",HOST'): (
                    "{{status}} {{instance}}"
                ),
            },
        ),
        Panel(
            "Communication error rate",
            "ops",
            "Failed calls to systemd, Podman and engines, by what failed.",
            {
                "rate(orch_communication_errors_total{HOST}[5m])": (
                    "{{source}} {{error_type}} {{instance}}"
                )
            },
        ),
    ],
    "Provisioning": [
        Panel(
            "Provisioning success rate",
            "ops",
            "Engines handed out, and requests that got none, by the code they were told.",
            {
                'rate(orch_provision_total{kind="acestream",HOST}[5m])': "handed out {{instance}}",
                _rate("orch_provision_refused_total", "code"): "{{code}} {{instance}}",
            },
        ),
        Panel(
            "Time of a start",
            "s",
            "From asking for an engine's start to its readiness, in an hour.",
            {
                _quantile_in_an_hour(q, "orch_provision_duration_seconds", _GOOD): (
                    f"{q:.0%} {{{{instance}}}}"
                )
                for q in (0.5, 0.95)
            },
        ),
        Panel(
            "Starts that succeed",
            "percentunit",
            "The share of starts in an hour that came to a ready engine.",
            {f"{_in_an_hour(_STARTS, labels=_GOOD)} / {_in_an_hour(_STARTS)}": "{{instance}}"},
        ),
        Panel(
            "Circuit breaker",
            "short",
            "1 for the state it is in; and whether clients are told that nothing can be had.",
            {
                "orch_circuit_state{HOST}": "{{state}} {{instance}}",
                "orch_provisioning_blocked{HOST}": "blocked {{instance}}",
            },
            colours={"closed": "green", "half_open": "orange", "open": "red", "blocked": "purple"},
        ),
    ],
    "Detection and sweeps": [
        Panel(
            "Detection",
            "s",
            "From the death of an engine to its absence from the pool, in an hour.",
            {
                _quantile_in_an_hour(q, "orch_detection_seconds"): f"{q:.0%} {{{{instance}}}}"
                for q in (0.5, 0.95)
            },
        ),
        Panel(
            "Probes",
            "s",
            "Time until an engine's status answered.",
            {
                _quantile(q, "orch_probe_duration_seconds", labels='answered="true",HOST'): (
                    f"{q:.0%} {{{{instance}}}}"
                )
                for q in (0.5, 0.95)
            },
        ),
        Panel(
            "Sweeps",
            "s",
            "Time that nearly every sweep stays below.",
            {_quantile(0.95, "orch_sweep_duration_seconds", "kind"): "{{kind}} {{instance}}"},
        ),
        Panel(
            "Since the last sweep",
            "s",
            "It should fall to 0 in the interval of the settings.",
            {"time() - orch_sweep_last_success_timestamp_seconds{HOST}": "{{kind}} {{instance}}"},
        ),
    ],
    "Store": [
        Panel(
            "Commits",
            "s",
            "Time a write to the database took. An event is answered after it.",
            {
                _quantile(q, "orch_store_commit_seconds"): f"{q:.0%} {{{{instance}}}}"
                for q in (0.5, 0.99)
            },
        ),
        Panel(
            "Waiting for the disk",
            "short",
            "Writes that wait, and 1 while the database takes none.",
            {
                "orch_store_queue{HOST}": "queue {{instance}}",
                "orch_store_degraded{HOST}": "degraded {{instance}}",
            },
        ),
        Panel(
            "Events not kept",
            "ops",
            "Events that were answered 503, since they could not be put on disk.",
            {_rate("orch_events_failed_total", "event"): "{{event}} {{instance}}"},
        ),
        Panel(
            "Disk",
            "bytes",
            "Free space where STATE_DIR is, and its size.",
            {
                "orch_state_dir_free_bytes{HOST}": "free {{instance}}",
                "orch_state_dir_size_bytes{HOST}": "size {{instance}}",
            },
        ),
    ],
    "Host cost": [
        Panel(
            "Processor",
            "percentunit",
            "What acekeeper itself takes, in cores. Engines are not in it.",
            {'rate(process_cpu_seconds_total{job="acekeeper",HOST}[5m])': "{{instance}}"},
        ),
        Panel(
            "Memory",
            "bytes",
            "What acekeeper itself holds (RSS). Engines are not in it.",
            {'process_resident_memory_bytes{job="acekeeper",HOST}': "{{instance}}"},
        ),
        Panel(
            "Event loop",
            "s",
            "How late acekeeper's own loop was.",
            {_quantile(0.99, "orch_loop_lag_seconds"): "99% {{instance}}"},
        ),
        Panel(
            "Calls to systemd and Podman",
            "percentunit",
            "The share of time in which a call is under way; over 1 when several are.",
            {
                _rate("orch_dbus_call_duration_seconds_sum", "method"): "{{method}} {{instance}}",
                _rate("orch_podman_call_duration_seconds_sum", "call"): "{{call}} {{instance}}",
            },
        ),
    ],
    "VPNs": [
        Panel(
            "Tunnels",
            "short",
            "1 while a VPN has a tunnel, while its unit runs, and while its provider forwards a"
            " port. Without VPNS there is nothing here.",
            {
                f"acekeeper_vpn_{what}{{HOST}}": f"{legend} {{{{vpn}}}} {{{{instance}}}}"
                for what, legend in {"tunnel": "tunnel", "up": "unit", "forwarded": "port"}.items()
            },
        ),
        Panel(
            "Engines behind VPNs",
            "short",
            "Engines behind each VPN, with a tunnel or without.",
            {"acekeeper_vpn_engines{HOST}": "{{vpn}} {{instance}}"},
            stacked=True,
        ),
        Panel(
            "Through the tunnels",
            "Bps",
            "What engines and peers send each other. Sent and nothing received is a dead tunnel.",
            {
                _rate(f"acekeeper_vpn_{way}_bytes_total", "vpn"): f"{legend} {{{{vpn}}}}"
                " {{instance}}"
                for way, legend in {"rx": "received", "tx": "sent"}.items()
            },
        ),
        Panel(
            "Tunnels and ports lost",
            "short",
            "Tunnels that were lost, and forwarded ports that were taken back, in an hour.",
            {
                _number_in_an_hour(f"acekeeper_vpn_{what}_total", "vpn"): f"{legend} {{{{vpn}}}}"
                " {{instance}}"
                for what, legend in {"losses": "tunnel", "port_changes": "port"}.items()
            },
        ),
    ],
    "Fleet": [
        Panel(
            "Hosts of the fleet",
            "short",
            "As each host sees them: those it hears, those that count for a while, and those that"
            " are lost; and 1 while it is connected itself. Without a fleet there is nothing here.",
            {
                "acekeeper_fleet_hosts{HOST}": "{{state}} {{instance}}",
                "acekeeper_fleet_link_up{HOST}": "connected {{instance}}",
            },
        ),
        Panel(
            "Age of their word",
            "s",
            "For how long nothing was heard of a host. Each speaks once a second.",
            {"acekeeper_fleet_beat_age_seconds{HOST}": "{{host}} at {{instance}}"},
        ),
        Panel(
            "Played elsewhere",
            "ops",
            "Plays that another host was asked for, by which one and what it answered.",
            {
                _rate("acekeeper_fleet_plays_total", "host, answer"): (
                    "{{answer}} {{host}} at {{instance}}"
                )
            },
        ),
        Panel(
            "Days of certificates",
            "short",
            "Until the one ends with which a host is in the fleet; fewer than 30 are an alert.",
            {"acekeeper_fleet_certificate_days{HOST}": "{{instance}}"},
        ),
    ],
    "Versions": [
        Panel(
            "Versions",
            "short",
            "1 for what runs.",
            {"orch_build_info{HOST}": "{{version}} {{runtime}} {{instance}}"},
        ),
    ],
    EACH_HOST: [
        Panel(
            "Its engines",
            "short",
            "Those that are fit for one more viewer, those that play or are promised, and how many"
            " there may be.",
            {
                "orch_engines_free{HOST}": "free {{instance}}",
                "sum by (instance) (orch_engines_total{HOST})"
                " - on (instance) orch_engines_free{HOST}": "others {{instance}}",
            },
            limits={"orch_engines_max{HOST}": "MAX_REPLICAS {{instance}}"},
            colours={"free": "green", "others": "purple"},
            stacked=True,
        ),
        Panel(
            "Its streams",
            "short",
            "Streams that play there, whoever's player they are for; and players that wait.",
            {
                "orch_streams_active{HOST}": "streams {{instance}}",
                "acekeeper_gateway_waiting{HOST}": "waiting {{instance}}",
            },
        ),
        Panel(
            "What its players got",
            "ops",
            "Requests to its gateway for a session or its picture, by what came of them.",
            {_rate("acekeeper_gateway_requests_total", "answer"): "{{answer}} {{instance}}"},
        ),
        Panel(
            "What it takes",
            "percentunit",
            "What acekeeper itself takes there, in cores. Engines are not in it.",
            {'rate(process_cpu_seconds_total{job="acekeeper",HOST}[5m])': "cores {{instance}}"},
        ),
    ],
}


def text() -> str:
    return json.dumps(_dashboard().build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _dashboard() -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard("acekeeper")
        .uid("acekeeper")
        .description("Engines, streams, the API and what they cost. docs/runbooks is for alerts.")
        .tags(["acekeeper"])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(
            dashboard.QueryVariable("instance")
            .label("Host")
            .datasource(_SOURCE)
            .query("label_values(orch_build_info, instance)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".+")
        )
    )
    numbers = iter(range(1, 1000))
    for title, panels in ROWS.items():
        row = dashboard.Row(title).id(next(numbers))
        made = made.with_row(row.repeat("instance") if title == EACH_HOST else row)
        for panel in panels:
            made = made.with_panel(_panel(panel, next(numbers), _WIDTHS[len(panels)]))
    return made


def _panel(panel: Panel, number: int, width: int) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .id(number)
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .min(0)
        .height(8)
        .span(width)
        .datasource(_SOURCE)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            # Most causes of a failure never happen: those that did are on top.
            .calcs(["lastNotNull", "max"])
            .sort_by("Max")
            .sort_desc(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if panel.stacked:  # areas without lines: that of a 0 would hide the one below it
        made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
        made = made.fill_opacity(60).line_width(0)
    for start, colour in panel.colours.items():
        made = made.override_by_regexp(f"/^{start}/", [_fixed(colour)])
    queries = panel.queries | panel.limits
    for letter, (query, legend) in zip(ascii_uppercase, queries.items(), strict=False):
        if query in panel.limits:
            made = made.override_by_query(letter, _LIMIT)
        made = made.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .datasource(_SOURCE)
            .expr(query.replace("HOST", _BY_HOST))
            .legend_format(legend)
            .range()
        )
    return made


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")

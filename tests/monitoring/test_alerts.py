"""Each alert fires when it has to and is silent when it has to be, as Prometheus judges it."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from acekeeper.api.application import ROUTES
from acekeeper.metrics import FAMILIES
from acekeeper.usecases import sweep

from .rules import INSTALLED, RULES, Alert, alerts
from .tools import needs, promtool

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yml"))
ALERTS = alerts()
VALUES = {
    "job": {"acekeeper"},
    "endpoint": {path for handler in ROUTES for path in handler.paths},
    "cause": FAMILIES["orch_engine_deaths_total"].labels["cause"],
    "health_status": FAMILIES["orch_engines_total"].labels["health_status"],
    "status": {"400", "401", "403", "413", "415"},
    "answer": FAMILIES["acekeeper_gateway_requests_total"].labels["answer"],
    "state": {
        *FAMILIES["orch_circuit_state"].labels["state"],
        *FAMILIES["acekeeper_fleet_hosts"].labels["state"],
    },
}


@needs("promtool")
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


@needs("promtool")
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_an_alert_fires_when_it_has_to(cases: Path) -> None:
    promtool("test", "rules", cases)


def test_every_alert_is_seen_firing_and_silent() -> None:
    assert [path.stem for path in CASES] == sorted(alert.name for alert in ALERTS)
    for path in CASES:
        tried = [
            case
            for group in msgspec.yaml.decode(path.read_bytes(), type=dict[str, Any])["tests"]
            for case in group["alert_rule_test"]
        ]
        assert {case["alertname"] for case in tried} == {path.stem}
        assert {bool(case["exp_alerts"]) for case in tried} == {True, False}, path.stem


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_it_says_which_host_and_where_to_read_on(alert: Alert) -> None:
    assert "$labels.instance" in alert.annotations.summary
    assert alert.annotations.runbook_url == f"{INSTALLED}runbooks/{alert.name}.md"


def test_a_sweep_is_late_for_the_service_when_it_is_for_the_alert() -> None:
    [late] = [alert.expr for alert in ALERTS if alert.name == "SweepLate"]
    assert f"> {sweep._INTERVALS} * orch_sweep_interval_seconds + {sweep._TAKES_S}" in late


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_hosts_are_kept_apart(alert: Alert) -> None:
    """What is added up or compared is of one host."""
    joined = re.findall(r"\b(?:by|on) \(([^)]*)\)", alert.expr)
    assert all({"instance", "job"} <= set(labels.split(", ")) for labels in joined)
    assert len(joined) >= len(re.findall(r"\b(?:sum|unless)\b", alert.expr))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_what_it_asks_for_is_there(alert: Alert) -> None:
    named = re.findall(r"\b(?:orch|acekeeper)_\w+", alert.expr + alert.annotations.description)
    assert {name.removesuffix("_bucket") for name in named} <= FAMILIES.keys()
    for label, word in re.findall(r'(\w+)!?=~?"([^"]*)"', alert.expr):
        assert all(value in VALUES[label] for value in word.split("|")), word

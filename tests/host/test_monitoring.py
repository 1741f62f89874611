"""Prometheus and Alertmanager by the playbook, on the host itself and on a host of their own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..monitoring.rules import RULES, alerts
from . import deploying, image
from .deploying import Deployer, Play, as_user, differences, found
from .lab import Host, Lab
from .told import Told, over_ssh
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

TAG = "--tags=monitoring"
SECRET = "nobody-may-see"
ETC = "/etc/prometheus/acekeeper"
GRAFANA = "/etc/grafana/provisioning"
PROMETHEUS = "http://127.0.0.1:9090/api/v1"
ALERTMANAGER = "http://127.0.0.1:9093/api/v2"
HOOK = Path(__file__).with_name("hook.py")
HOOK_PORT = 9900
ALERTS = {alert.name: alert for alert in alerts()}


@dataclass(frozen=True)
class Watched:
    host: Host  # runs acekeeper, and Prometheus too
    other: Host  # runs Prometheus alone
    deployer: Deployer
    without: Play
    before: dict[str, dict[str, set[str]]]
    first: Play
    arguments: list[str]

    @property
    def both(self) -> tuple[Host, Host]:
        return self.host, self.other


@pytest.fixture(scope="module")
def watched(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Every test leaves it deployed as it was."""
    host, other = lab.up(71), lab.up(72)
    directory = tmp_path_factory.mktemp("monitoring")
    variables = {
        **deploying.from_archive(image.build(directory)),
        "acekeeper_settings": {"MIN_REPLICAS": 0, "APP_HOST": host.address},
        "acekeeper_api_key": f"a-key-{SECRET}",
        "acekeeper_api_key_read": f"it-reads-{SECRET}",
        "monitoring_webhook_urls": [f"http://{host.address}:{HOOK_PORT}/a-token-{SECRET}"],
        "monitoring_scrape_interval_s": 1,
        "monitoring_grafana": True,
    }
    deployer = Deployer(directory, [host], variables)
    without = deployer.deploy()
    deployer.monitoring = [host, other]
    for each in deployer.monitoring:
        each.ssh(A_GRAFANA)
    before = {each.name: found(each) for each in deployer.monitoring}
    with deploying.watched(host, SECRET) as arguments:
        first = deployer.deploy(TAG, "-vvv", "--diff")
    yield Watched(host, other, deployer, without, before, first, arguments)
    lab.down(71)
    lab.down(72)


def test_it_is_there_only_where_it_is_asked_for(watched: Watched) -> None:
    assert [task for task in watched.without.changes() if task.startswith("monitoring")] == []
    assert "supplied host pattern" not in watched.without.output
    assert "FAILED - RETRYING" not in watched.first.output
    assert not any("prometheus" in line for line in watched.before[watched.host.name]["packages"])


def test_every_host_is_scraped_with_its_key(watched: Watched) -> None:
    asked = {}
    for host in watched.both:
        # A scrape has no longer than the interval, and one in between may have been late.
        until(partial(is_up, host))
        [target] = ask(host, f"{PROMETHEUS}/targets")["data"]["activeTargets"]
        assert target["labels"] == {"instance": watched.host.name, "job": "acekeeper"}
        asked[host.name] = urlsplit(target["scrapeUrl"]).netloc
        key = host.ssh(f"cat {ETC}/keys/{watched.host.name}").stdout
        assert key == f"it-reads-{SECRET}"  # with which nothing can be changed
    there = watched.host.address
    assert asked == {watched.host.name: "127.0.0.1:8000", watched.other.name: f"{there}:8000"}


def test_the_rules_are_loaded_as_they_are_here_and_mean_what_they_have_to(
    watched: Watched,
) -> None:
    host = watched.other
    assert lasts(host).keys() == ALERTS.keys()
    # With what Debian 13 has, on the file that was installed.
    host.ssh(
        "mkdir -p /run/rules/tests/monitoring /run/rules/ansible/roles/monitoring/files"
        f" && ln -sf {ETC}/{RULES.name} /run/rules/ansible/roles/monitoring/files/"
    )
    host.copy(RULES.parents[4] / "tests/monitoring/alerts", "/run/rules/tests/monitoring")
    host.ssh("promtool test rules /run/rules/tests/monitoring/alerts/*.yml", timeout_s=600)
    host.ssh(f"promtool check config {ETC}/prometheus.yml && amtool check-config {ETC}/alert*.yml")


def test_they_listen_on_loopback_only(watched: Watched) -> None:
    for host in watched.both:
        listening = host.ssh("ss -Hltn '( sport >= 9000 and sport < 10000 )'").stdout
        addresses = sorted(line.split()[3] for line in listening.splitlines())
        assert addresses == ["127.0.0.1:9090", "127.0.0.1:9093"]


def test_no_secret_is_in_the_output_in_arguments_or_for_everyone_to_read(watched: Watched) -> None:
    assert "monitoring : configure | Write the keys" in watched.first.changes()
    assert SECRET not in watched.first.output
    assert watched.arguments == []
    look = (
        "find /etc /home /opt /root /run /srv /tmp /usr/local /var -xdev -type f -print0"
        f" | xargs -0 grep -lF {SECRET} | xargs stat -c '%n %a %U:%G'"
    )
    ours = {
        f"{ETC}/keys/{watched.host.name} 640 root:prometheus",
        f"{ETC}/webhooks/1 640 root:prometheus",
    }
    theirs = {"/etc/acekeeper/settings.env 640 root:acekeeper"}
    assert set(watched.host.ssh(look, timeout_s=300).stdout.splitlines()) == ours | theirs
    assert set(watched.other.ssh(look, timeout_s=300).stdout.splitlines()) == ours


def test_a_second_run_changes_nothing(watched: Watched) -> None:
    running = starts(watched)
    nothing = {host.name: 0 for host in watched.both}
    assert watched.deployer.deploy(TAG).changed == nothing
    assert starts(watched) == running


def test_grafana_finds_prometheus_and_the_dashboard(watched: Watched) -> None:
    """As far as it can be seen without one: the files where it looks, and its restart."""
    for host in watched.both:
        read = host.ssh(f"cat {GRAFANA}/datasources/*.yml {GRAFANA}/dashboards/*.yml").stdout
        assert "url: http://127.0.0.1:9090" in read
        [path] = [line.split()[1] for line in read.splitlines() if line.strip().startswith("path:")]
        assert json.loads(host.ssh(f"cat {path}/*.json").stdout) == json.loads(
            RULES.with_name("dashboard.json").read_text("utf-8")
        )
        newer = f"find {GRAFANA} -name '*.yml' -newermt \"$(systemctl show -P {STARTED} grafana*)\""
        assert host.ssh(newer).stdout == ""


def test_a_fault_is_told_to_the_webhook_and_its_end_too(watched: Watched) -> None:
    host, deployer = watched.host, watched.deployer
    for each in watched.both:
        hasten(each)
    with Hook(host) as hook:
        as_user(host, "systemctl --user stop acekeeper.socket acekeeper.service")
        told = hook.both("firing", watched)
        as_user(host, "systemctl --user start acekeeper.socket acekeeper.service")
        hook.both("resolved", watched)
    [alert] = [a for a in told["alerts"] if a["labels"]["instance"] == host.name]
    assert alert["labels"] == {
        "alertname": "AcekeeperDown",
        "instance": host.name,
        "job": "acekeeper",
        "severity": "critical",
    }
    assert alert["annotations"]["summary"] == f"{host.name} cannot be scraped"
    page = urlsplit(alert["annotations"]["runbook_url"]).path
    assert host.ssh(f"head -1 {page}").stdout == "# AcekeeperDown\n"

    # What was hastened is put back, and a check says so.
    checked = deployer.deploy(TAG, "--check", "--diff")
    played = deployer.deploy(TAG)
    assert [task.split(" : ")[1] for task in played.changes()] == [
        "configure | Install the rules",
        "configure | Write the configuration",
        "start | Restart them",
    ]
    assert checked.changes() == played.changes()


def test_what_follows_from_another_alert_is_not_told_beside_it(watched: Watched) -> None:
    follow = {
        "CircuitBreakerOpen": {"NoFreeEngine", "EngineCrashLoop"},
        "FleetLinkDown": {"FleetHostLost"},
        "NoHealthyEngines": {
            *("NoFreeEngine", "EnginesUnhealthy"),
            *("PlaysFailing", "StreamsFailing"),
        },
        "PlaysFailing": {"EnginesUnhealthy"},
        "ProvisioningBlocked": {"NoFreeEngine"},
        "StreamsFailing": {"EnginesUnhealthy"},
        "VpnDown": {
            *("NoHealthyEngines", "NoFreeEngine", "EnginesUnhealthy"),
            *("PlaysFailing", "StreamsFailing", "VpnTunnelDead"),
        },
        "VpnTunnelDead": {"EnginesUnhealthy"},
    }
    rest = ALERTS.keys() - follow.keys() - {"AcekeeperDown"}
    expected = {**follow, "AcekeeperDown": rest, "SweepLate": set()}
    labels = [
        {"alertname": name, "instance": source, "job": "acekeeper", "severity": "warning"}
        for source, following in expected.items()
        for name in rest | following | {source}
    ]
    ask(watched.other, f"{ALERTMANAGER}/alerts", [{"labels": each} for each in labels])
    shown = ask(watched.other, f"{ALERTMANAGER}/alerts")
    suppressed: dict[str, set[str]] = {source: set() for source in expected}
    for alert in shown:
        if alert["status"]["inhibitedBy"]:
            suppressed[alert["labels"]["instance"]].add(alert["labels"]["alertname"])
    assert suppressed == expected


def test_what_speaks_against_it_is_said_in_one_line(watched: Watched) -> None:
    other, deployer = watched.other, watched.deployer
    given = dict(deployer.variables)
    deployer.variables["acekeeper_settings"] = {"MIN_REPLICAS": 0}
    drop_in = "/etc/systemd/system/prometheus.service.d/acekeeper.conf"
    other.ssh(f"mv {drop_in} /run/; echo '# mine' >> /etc/prometheus/prometheus.yml")
    other.ssh("sed -i 's|:/var/lib/prometheus:|:/home/mine:|' /etc/passwd")
    try:
        played = deployer.play("deploy.yml", TAG, f"--limit={other.name}", check=False)
    finally:
        other.ssh(f"mv /run/acekeeper.conf {drop_in}; sed -i '$ d' /etc/prometheus/prometheus.yml")
        other.ssh("sed -i 's|:/home/mine:|:/var/lib/prometheus:|' /etc/passwd")
        deployer.variables = given
    assert played.status != 0
    assert played.changes() == []
    line = (
        f"{other.name} needs no Prometheus of its own, whose /etc/prometheus/prometheus.yml would"
        " no longer be read; docs/monitoring.md says how it can watch acekeeper too;"
        " and the name prometheus for Debian's account: there is one, whose home is /home/mine and"
        " not /var/lib/prometheus; give that one another name (`usermod --login`) or remove it;"
        f" and {watched.host.name} to listen on more than loopback,"
        " by APP_HOST in acekeeper_settings and with an acekeeper_api_key"
    )
    assert line in played.output


def test_it_goes_and_leaves_the_hosts_as_they_were(watched: Watched) -> None:
    watched.deployer.play("uninstall.yml", TAG, "-e", "acekeeper_remove_packages=true")
    after = {host.name: found(host) for host in watched.both}
    running = as_user(watched.host, "systemctl --user is-active acekeeper.service", check=False)
    watched.deployer.deploy(TAG)
    brought = {host.name: found(host) for host in watched.both}

    # By default the packages stay; what they start listens to nobody.
    watched.deployer.play("uninstall.yml", TAG)
    staying = {host.name: found(host)["packages"] for host in watched.both}
    asked = "systemctl is-{} prometheus prometheus-alertmanager"
    states = [
        host.ssh(asked.format(what), check=False).stdout.split()
        for host in watched.both
        for what in ("active", "enabled")
    ]
    again = watched.deployer.play("uninstall.yml", TAG)
    watched.deployer.deploy(TAG)
    assert staying == {name: here["packages"] for name, here in brought.items()}
    assert states == [["inactive"] * 2, ["disabled"] * 2] * 2
    assert again.changed == {host.name: 0 for host in watched.both}
    for host in watched.both:
        left = list(differences(watched.before[host.name], after[host.name]))
        assert [line for line in left if "/var/lib/acekeeper/" not in line] == []
    assert running == "active\n"


STARTED = "ActiveEnterTimestamp"
# The directories its package makes, and a service of its name.
A_GRAFANA = f"""
mkdir -p {GRAFANA}/dashboards {GRAFANA}/datasources
printf '[Service]\\nExecStart=sleep infinity\\n' > /run/systemd/system/grafana-server.service
systemctl daemon-reload
systemctl start grafana-server
"""
# How long it lasts and is collected before it is told, and nothing else of what was installed.
HASTEN = f"""
sed -i '0,/for: 2m/s//for: 1s/' {ETC}/{RULES.name}
sed -i 's/wait: 10s/wait: 1s/; s/interval: 1m/interval: 1s/' {ETC}/alertmanager.yml
systemctl reload prometheus prometheus-alertmanager
"""
ASK = """
import sys, urllib.request as u
body = sys.stdin.buffer.read() or None
request = u.Request(sys.argv[1], body, {"Content-Type": "application/json"})
sys.stdout.buffer.write(u.urlopen(request, timeout=10).read() or b"null")
"""


def ask(host: Host, url: str, body: object = None) -> Any:
    host.ssh("cat > /run/ask.py", stdin=ASK)
    stdin = json.dumps(body) if body else ""
    return json.loads(host.ssh(f"python3 /run/ask.py '{url}'", stdin=stdin).stdout)


def starts(watched: Watched) -> list[str]:
    """What is another one after every start."""
    shown = "systemctl show -P InvocationID prometheus prometheus-alertmanager grafana-server"
    return [host.ssh(shown).stdout for host in watched.both]


def is_up(host: Host) -> bool:
    [target] = ask(host, f"{PROMETHEUS}/targets")["data"]["activeTargets"]
    return bool(target["health"] == "up")


def hasten(host: Host) -> None:
    host.ssh(HASTEN)
    until(lambda: lasts(host)["AcekeeperDown"] == 1)
    # For some seconds after that it knows of no Alertmanager, and would lose what it has to tell.
    until(lambda: ask(host, f"{PROMETHEUS}/alertmanagers")["data"]["activeAlertmanagers"] != [])


def lasts(host: Host) -> dict[str, float]:
    [group] = ask(host, f"{PROMETHEUS}/rules")["data"]["groups"]
    return {rule["name"]: rule["duration"] for rule in group["rules"]}


class Hook(Told):
    """What a host was told as the webhook of both Alertmanagers."""

    def __init__(self, host: Host) -> None:
        host.copy(HOOK, "/run/hook.py")
        super().__init__(over_ssh(host, f"python3 /run/hook.py {HOOK_PORT}"), limit_s=60)
        assert self.next() == {"ready": True}

    def both(self, status: str, watched: Watched) -> dict[str, Any]:
        """The last that was told, when each has told that this is how the host is."""
        silent = {host.name for host in watched.both}
        while True:
            told = self.next()
            for alert in told["alerts"]:
                if (alert["status"], alert["labels"]["instance"]) == (status, watched.host.name):
                    silent.discard(str(urlsplit(told["externalURL"]).hostname))
            if not silent:
                return told

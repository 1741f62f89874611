"""Debian's Prometheus on a host: it asks the acekeeper there, and judges by our rules."""

import json
import re

from ..monitoring.prometheus import Prometheus
from ..monitoring.rules import RULES
from .lab import Host

_INSTALL = (
    "apt-get -qq update && DEBIAN_FRONTEND=noninteractive"
    " apt-get -qq install -y --no-install-recommends prometheus"
)
# What only costs time: how long something has to last, and how far it looks back.
_SHORTER = {
    r"for: \d+m": "for: 10s",
    r"keep_firing_for: \d+m": "keep_firing_for: 10s",
    r"\[5m\]": "[30s]",
    r"\[10m\]": "[1m]",
    r"\[20m\]": "[1m]",
}


def scrape(host: Host, key: str) -> Prometheus:
    job = {
        "job_name": "acekeeper",
        "authorization": {"credentials_file": "/etc/prometheus/acekeeper.key"},
        "static_configs": [{"targets": ["127.0.0.1:8000"]}],
    }
    configuration = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": ["/etc/prometheus/acekeeper.rules.yml"],
        "scrape_configs": [job],
    }
    rules = RULES.read_text("utf-8")
    for long, short in _SHORTER.items():
        rules = re.sub(rf"\b{long}" if long[0].isalpha() else long, short, rules)
    host.ssh(_INSTALL, timeout_s=300)
    host.ssh("cat > /etc/prometheus/acekeeper.rules.yml", stdin=rules)
    host.ssh("install -m 640 -g prometheus /dev/stdin /etc/prometheus/acekeeper.key", stdin=key)
    host.ssh("cat > /etc/prometheus/prometheus.yml", stdin=json.dumps(configuration))
    host.ssh("promtool check config /etc/prometheus/prometheus.yml")
    host.ssh("systemctl restart prometheus")
    ready = "http://127.0.0.1:9090/-/ready"
    host.ssh(f"curl -sSf -o /dev/null --retry 30 --retry-delay 1 --retry-all-errors {ready}")
    return Prometheus(f"{host.address}:9090")

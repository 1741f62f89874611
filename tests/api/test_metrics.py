"""/metrics as a whole: what docs/metrics.md promises of it."""

import subprocess
from collections.abc import Iterator
from itertools import product

import pytest
from prometheus_client import Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from acekeeper.metrics import FAMILIES, Metrics, measured

from ..monitoring.tools import needs
from ..usecases.house import Clock
from .conftest import Served

OF_ITS_PROCESS = ("process_", "python_info")
# Where there are some; tests/api/test_metrics_vpns.py sees them.
GAUGES_OF_VPNS = {
    f"acekeeper_vpn_{name}"
    for name in ("up", "tunnel", "engines", "forwarded", "rx_bytes_total", "tx_bytes_total")
}
# Where there is one; tests/api/test_metrics_fleet.py sees them.
GAUGES_OF_FLEET = {
    f"acekeeper_fleet_{name}"
    for name in ("hosts", "link_up", "beat_age_seconds", "certificate_days")
}


async def test_a_scrape_has_the_families_of_the_table_and_no_others(served: Served) -> None:
    await served.get("/engines")
    text = (await served.get("/metrics")).text
    families = {f.name: f for f in text_string_to_metric_families(text)}
    ours = {
        name + ("_total" if family.type == "counter" else ""): family
        for name, family in families.items()
        if not name.startswith(OF_ITS_PROCESS)
    }
    assert ours.keys() == FAMILIES.keys() - GAUGES_OF_VPNS - GAUGES_OF_FLEET
    for name, found in ours.items():
        assert (found.type, found.documentation) == (FAMILIES[name].kind, FAMILIES[name].meaning)
        for sample in found.samples:
            assert sample.labels.keys() - {"le"} == FAMILIES[name].labels.keys(), sample
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "python_info"} <= set(families)


async def test_series_of_known_values_are_there_from_the_first_scrape(served: Served) -> None:
    text = (await served.get("/metrics")).text
    there = {
        (family.name, frozenset(sample.labels.items()))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }
    for name, family in FAMILIES.items():
        if name not in GAUGES_OF_FLEET and all(family.labels.values()):
            for values in product(*family.labels.values()):
                labels = frozenset(zip(family.labels, values, strict=True))
                assert (name.removesuffix("_total"), labels) in there or (name, labels) in there


class Odd(Collector):
    def __init__(self) -> None:
        self.series: dict[str, float] = {}
        self.seconds = Histogram("odd_seconds", "With a\nbreak", ["of"], registry=None)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("odd", 'A "word" and a \\', labels=["of"])
        for of, value in self.series.items():
            family.add_metric([of], value)
        yield family
        yield from self.seconds.collect()


def test_a_scrape_is_as_the_library_writes_it_whatever_changed_since_the_last() -> None:
    metrics, odd = Metrics(Clock()), Odd()
    metrics.add(odd)
    values = (0, -0.0, 1e22, float("nan"), float("-inf"), 0.1 + 0.2, True)
    words = ("", "a b", 'a "b"', "a\nb", "a\\b", "a\x85b\u2028c", "ä")
    turned = reversed(tuple(zip(words, values, strict=True)))
    for series in ({}, dict(zip(words, values, strict=True)), dict(turned), {"a b": 7.5}, {}):
        odd.series = series
        for word in series:
            odd.seconds.labels(word).observe(len(series))
        assert b"".join(metrics.exposition()).endswith(generate_latest(odd))


def test_what_stays_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics(Clock())
    b"".join(metrics.exposition())
    monkeypatch.setattr(measured, "generate_latest", None)
    metrics.committed(0.5)
    assert b"orch_store_commit_seconds_sum 0.5\n" in b"".join(metrics.exposition())


@needs("promtool")
async def test_promtool_finds_fault_in_one_name_alone(served: Served) -> None:
    await served.post("/provision/acestream")
    await served.post("/sweeps/health")
    text = (await served.get("/metrics")).text
    assert check(text) == ['orch_engines_total non-counter metrics should not have "_total" suffix']


def check(text: str) -> list[str]:
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()

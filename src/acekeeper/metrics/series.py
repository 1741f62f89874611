"""What counts and measures, by the table of families."""

from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

from acekeeper.metrics.families import FAMILIES, Family

M = TypeVar("M", Counter, Histogram)


def counter(name: str, registry: CollectorRegistry) -> Counter:
    """Whose series with fixed values exist at once."""
    family = FAMILIES[name]
    return _begun(Counter(name, family.meaning, list(family.labels), registry=registry), family)


def histogram(name: str, registry: CollectorRegistry) -> Histogram:
    family = FAMILIES[name]
    labels, buckets = list(family.labels), family.buckets
    made = Histogram(name, family.meaning, labels, buckets=buckets, registry=registry)
    return _begun(made, family)


def gauge(name: str, value: float | None = None) -> GaugeMetricFamily:
    """With this value, or with series that are added to it."""
    family = FAMILIES[name]
    return GaugeMetricFamily(
        name, family.meaning, value, labels=list(family.labels) if value is None else None
    )


def _begun(made: M, family: Family) -> M:
    if family.labels:
        for values in product(*family.labels.values()):
            made.labels(*values)
    return made

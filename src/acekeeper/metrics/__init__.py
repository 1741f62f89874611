"""What Prometheus sees: counts and measures as they are told, and gauges that read what is."""

from acekeeper.metrics.families import FAMILIES, Family
from acekeeper.metrics.host import Host
from acekeeper.metrics.measured import Metrics
from acekeeper.metrics.pool import Pool

__all__ = ["FAMILIES", "Family", "Host", "Metrics", "Pool"]

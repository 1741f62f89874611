"""What Prometheus reads from /metrics, and which series a selector takes."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from ..api.conftest import Served

_SELECTOR = re.compile(r"(\w+)(?:\{(.*)\})?")
_LABEL = re.compile(r'(\w+)="(.*?)"')


class Series(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float


class Scrape:
    def __init__(self, text: str) -> None:
        self._series = [
            Series(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    @classmethod
    async def of(cls, served: Served) -> "Scrape":
        return cls((await served.get("/metrics")).text)

    def series(self, selector: str) -> list[Series]:
        """As PromQL's `name{label="value"}`."""
        found = _SELECTOR.fullmatch(selector)
        assert found, selector
        wanted = dict(_LABEL.findall(found[2] or ""))
        return [
            s for s in self._series if s.name == found[1] and wanted.items() <= s.labels.items()
        ]

    def value(self, selector: str) -> float:
        """Of the one series it takes."""
        [series] = self.series(selector)
        return series.value

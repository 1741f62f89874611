"""A real Prometheus."""

import json
import math
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from ..ports import free_port
from .chart import Span
from .rules import RULES


class Prometheus:
    def __init__(self, address: str) -> None:
        self._address = address

    @classmethod
    @contextmanager
    def scraping(
        cls, address: tuple[str, int], directory: Path, every: str = "500ms"
    ) -> Iterator["Prometheus"]:
        target = {"targets": [f"{address[0]}:{address[1]}"], "labels": {"instance": "host1"}}
        settings = {
            "global": {"scrape_interval": every, "evaluation_interval": every},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "acekeeper", "static_configs": [target]}],
        }
        configuration = directory / "prometheus.yml"
        configuration.write_text(json.dumps(settings))
        port = free_port()
        with (directory / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={configuration}",
                    f"--storage.tsdb.path={directory / 'prometheus'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield cls(f"127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()

    def finds(self, query: str) -> bool:
        """Whether one of the series has a value; a quantile of nothing is NaN."""
        found = self._get("query", query=query)["result"]
        return any(not math.isnan(float(series["value"][1])) for series in found)

    def over(self, query: str, span: Span) -> Sequence[Any]:
        """Series with their values in that time."""
        asked = {name: str(value) for name, value in span._asdict().items()}
        series: Sequence[Any] = self._get("query_range", query=query, **asked)["result"]
        return series

    def rules(self) -> list[dict[str, Any]]:
        groups = self._get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def firing(self) -> dict[str, str]:
        """The summaries of the alerts that fire, by their names."""
        return {
            alert["labels"]["alertname"]: alert["annotations"]["summary"]
            for alert in self._get("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def _get(self, what: str, **parameters: str) -> Any:
        url = f"http://{self._address}/api/v1/{what}?{urlencode(parameters)}"
        with urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

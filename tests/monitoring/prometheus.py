"""A real Prometheus that scrapes one address."""

import json
import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from ..running import free_port
from .rules import RULES

_CONFIGURATION = {
    "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
    "rule_files": [str(RULES)],
}


class Prometheus:
    def __init__(self, port: int) -> None:
        self._port = port

    @classmethod
    @contextmanager
    def scraping(cls, address: tuple[str, int], directory: Path) -> Iterator["Prometheus"]:
        target = {"targets": [f"{address[0]}:{address[1]}"]}
        jobs = [{"job_name": "acekeeper", "static_configs": [target]}]
        configuration = directory / "prometheus.yml"
        configuration.write_text(json.dumps(_CONFIGURATION | {"scrape_configs": jobs}))
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
            yield cls(port)
        finally:
            process.terminate()
            process.wait()

    def finds(self, query: str) -> bool:
        """Whether one of the series has a value; a quantile of nothing is NaN."""
        found = self._get("query", query=query)["result"]
        return any(not math.isnan(float(series["value"][1])) for series in found)

    def rules(self) -> list[dict[str, Any]]:
        groups = self._get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, what: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{what}?{urlencode(parameters)}"
        with urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

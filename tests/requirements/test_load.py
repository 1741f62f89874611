"""The document's load test, by its own commands, against a service on a port."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..contract.conftest import MakeService
from .scrape import Scrape

SCRIPT = Path(__file__).with_name("load_test.sh")
KEY = "key-of-the-load-test"
MISSING = [tool for tool in ("bash", "curl", "ab") if shutil.which(tool) is None]


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    bool(MISSING) and "CI" not in os.environ,
    reason=f"needs {', '.join(MISSING)} (Debian: curl apache2-utils)",
)
async def test_ten_engines_and_a_thousand_requests_of_fifty_at_once(service: MakeService) -> None:
    # Where engines start slowly, those asked for one after another start all at once.
    running = service({"API_KEY": KEY, "MIN_REPLICAS": 1, "MAX_CONCURRENT_PROVISIONS": 11})
    await running.start(engines=1)
    environment = {"PATH": os.environ["PATH"], "API_KEY": KEY, "BASE": running.base}
    done = await asyncio.to_thread(
        subprocess.run, [SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    engines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len({engine["container_id"] for engine in engines}) == 10
    assert re.search(r"^Complete requests: +1000$", done.stdout, re.MULTILINE)
    assert re.search(r"^Failed requests: +0$", done.stdout, re.MULTILINE)
    assert "Non-2xx responses" not in done.stdout
    assert 'orch_api_duration_seconds_count{endpoint="/engines",method="GET"}' in done.stdout
    scrape = Scrape((await running.call("GET", "/metrics")).body.decode())
    answered = 'orch_api_requests_total{endpoint="/engines",method="GET",status="200"}'
    assert scrape.value(answered) >= 1000
    assert scrape.value(answered.replace("200", "503")) == 0

"""The searches of docs/log.md find in the log what they say."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ..api.bodies import started
from .conftest import MakeService
from .service import Service

PAGE = Path(__file__).parents[2] / "docs/log.md"
SEARCHES = re.findall(r"^journalctl (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)

pytestmark = pytest.mark.skipif(
    shutil.which("jq") is None and "CI" not in os.environ, reason="needs jq (Debian: jq)"
)


async def test_every_search_finds_something(service: MakeService) -> None:
    """The pipe and the pattern as they stand, on the lines as the journal gives them with `-o cat`;
    those of Python's own among them, which are no JSON."""
    running = service({"MIN_REPLICAS": 1})
    await running.start(engines=1)
    request = await play_and_crash(running)
    slow = service({"MIN_REPLICAS": 1, "PROVISION_STARTUP_GRACE_S": 1}, start_delay=3600)
    await slow.start()
    await slow.logged("engine_start_failed")
    said = running.said() + "Traceback (most recent call last):\n" + slow.said()
    journal = re.sub(r"engine-\d+", "engine-19000", said)
    assert len(SEARCHES) == 8
    for search in SEARCHES:
        found = searched(search, journal, request)
        assert "engine" in found or "eof" in found, search


def searched(search: str, journal: str, request: str) -> str:
    arguments, _, pipe = search.partition(" | ")
    own = re.search(r" -g '(.*)'$", arguments)
    command = pipe or f"grep -P {shlex.quote(own[1] if own else '')}"
    return subprocess.check_output(
        ["bash", "-o", "pipefail", "-c", command],
        input=journal,
        text=True,
        env={**os.environ, "ID": request},
    )


async def play_and_crash(running: Service) -> str:
    """The id of its provision."""
    given = await running.call("POST", "/provision/acestream")
    assert given.status == 200
    port = given.json["host_http_port"]
    event = started(port=port)
    await running.call("POST", "/events/stream_started", event)
    end = {"stream_id": event["labels"]["stream_id"], "reason": "eof"}
    await running.call("POST", "/events/stream_ended", end)
    await running.crash(port)
    await running.logged("engine_died")
    return given.headers["X-Request-ID"]

"""Every route by the API's own document: schemathesis sends what it allows and what it forbids."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import NamedTuple

from ..contract.service import LIMIT_S, Service

KEY = "key-of-the-fuzzing"
# Reads need the key too, as the document says, where others than this host may ask.
SETTINGS: dict[str, object] = {
    "API_KEY": KEY,
    "APP_HOST": "0.0.0.0",
    "MIN_REPLICAS": 1,
    "MIN_PROVISION_INTERVAL_S": 0,
}
SLOTS = 3
HERE = Path(__file__).parent
_PROGRAM = Path(sys.executable).with_name("schemathesis")
_COUNTS = re.compile(r"^ +Tested: (\d+)$.*^ +(\d+) generated", re.MULTILINE | re.DOTALL)


class Fuzzed(NamedTuple):
    operations: int
    cases: int


async def fuzz(directory: Path, examples: int, seed: int) -> Fuzzed:
    """So many examples of each route at most, beside those at the edges of its schema. The
    failures of a run are what its AssertionError says."""
    running = Service(directory / "state", SETTINGS, SLOTS, start_delay=0)
    try:
        await running.start(engines=1)
        fuzzed = await _fuzz(running, directory, examples, seed)
        assert (await running.get("/health/ready"))["ready"] is True
        assert [line for line in running.log() if line["level"] in ("ERROR", "CRITICAL")] == []
    finally:
        running.end()
    return fuzzed


async def _fuzz(running: Service, directory: Path, examples: int, seed: int) -> Fuzzed:
    # Read from its address, the document is not tried out itself.
    document = directory / "openapi.json"
    document.write_bytes((await running.call("GET", "/schema/openapi.json", within=LIMIT_S)).body)
    command = [
        str(_PROGRAM),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        str(document),
        f"--url={running.base}",
        f"--header=Authorization: Bearer {KEY}",
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--no-color",
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(HERE),
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
    }
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=environment, stdout=PIPE, stderr=STDOUT
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    counted = _COUNTS.search(said)
    assert counted, said
    return Fuzzed(*map(int, counted.groups()))

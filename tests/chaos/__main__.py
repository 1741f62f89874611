"""The long runs: `make chaos`, or one of them again with its seed:
`.venv/bin/python -m tests.chaos kills --seed 7`."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

from .. import disks
from ..api.fuzzing import fuzz
from . import calls
from .kills import Killing
from .soak import Soak
from .storm import Storm


def _kills(directory: Path, seed: int) -> str:
    return str(asyncio.run(Killing(directory, seed).run(kills=100)))


def _disk(directory: Path, seed: int) -> str:
    if why := disks.why_none():
        return f"skipped: {why}"
    with disks.Disk(directory) as disk:
        return str(asyncio.run(Killing(directory, seed, disk).run(kills=30)))


def _storm(directory: Path, seed: int) -> str:
    return asyncio.run(Storm(directory, seed).run(seconds=300))


def _calls(directory: Path, seed: int) -> str:
    return calls.run(directory, seed, examples=60, steps=30)


def _soak(directory: Path, seed: int) -> str:
    return asyncio.run(Soak(directory, seed).run())


def _fuzz(directory: Path, seed: int) -> str:
    fuzzed = asyncio.run(fuzz(directory, examples=100, seed=seed))
    return f"{fuzzed.cases} requests to {fuzzed.operations} routes, every answer as documented"


RUNS: dict[str, Callable[[Path, int], str]] = {
    "kills": _kills,
    "disk": _disk,
    "storm": _storm,
    "calls": _calls,
    "soak": _soak,
    "fuzz": _fuzz,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The long runs.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"of {', '.join(RUNS)}; all")
    parser.add_argument("--seed", type=int, help="of the choices; a new one unless given")
    arguments = parser.parse_args()
    if unknown := set(arguments.runs) - RUNS.keys():
        parser.error(f"no such run: {', '.join(sorted(unknown))}")
    for name in arguments.runs or RUNS:
        seed = SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
        _say(f"{name}, seed {seed}")
        began = time.monotonic()
        # Not /tmp, which may be in memory: an event is only as durable as the disk.
        with tempfile.TemporaryDirectory(prefix="acekeeper-chaos-", dir="/var/tmp") as directory:
            said = RUNS[name](Path(directory), seed)
        _say(f"{said} ({time.monotonic() - began:.0f} s)")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

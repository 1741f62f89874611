"""What it costs: `make bench`. Prints one table; trust its ratios, and the rest only in this place.

Ours and the floor of each row take turns, so that what else the machine does meets both. Emulated
engines run meanwhile.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..contract.service import NO_SWEEPS, Service
from . import events, growth, machine, passes, plays, process, reads, trouble
from .measuring import end_all, play_on_all, say
from .scale import Bench, Scale
from .table import Group, render, shown


def measure(scale: Scale, directory: Path) -> list[Group]:
    groups = growth.measure(scale)
    with running(scale, directory) as bench:
        at_rest = process.memory_mb(bench.pid)
        groups += loaded(bench)
        after = process.memory_mb(bench.pid)  # before it tells of its streams, which takes some
        ended = len(asyncio.run(bench.service.stream_ids("ended")))
        groups.append(process.memory_group(at_rest, after, ended))
        groups += process.starts(bench)
    return groups


def loaded(bench: Bench) -> list[Group]:
    """All of the load once; nothing plays afterwards."""
    return [
        *reads.measure(bench),
        *events.measure(bench),
        *plays.measure(bench),
        *_while_all_play(bench, passes.measure),
        *_while_all_play(bench, trouble.measure),
    ]


def _while_all_play(bench: Bench, part: Callable[[Bench], list[Group]]) -> list[Group]:
    streams = asyncio.run(play_on_all(bench.service))
    groups = part(bench)
    asyncio.run(end_all(bench.service, streams))
    return groups


@contextmanager
def disk() -> Iterator[Path]:
    """Not in /tmp, which may be in memory: an event is only as durable as the disk."""
    with tempfile.TemporaryDirectory(prefix="acekeeper-bench-", dir="/var/tmp") as directory:
        yield Path(directory)


@contextmanager
def running(scale: Scale, directory: Path) -> Iterator[Bench]:
    """Sweeps come when they are asked for."""
    settings = {
        **NO_SWEEPS,
        "MIN_REPLICAS": scale.engines,
        "MAX_CONCURRENT_PROVISIONS": scale.engines,
        "MIN_PROVISION_INTERVAL_S": 0,
        "HEALTH_UNHEALTHY_GRACE_PERIOD_S": 3600,  # those that hang are not replaced
        "MAX_BATCH_EVENTS": max(scale.batches),
        "LOG_LEVEL": "WARNING",
    }
    service = Service(directory / "state", settings, slots=scale.engines, start_delay=0)
    service.environment["ENGINE_COMMAND"] += " --idle-expiry 3600"  # nobody reads what they play
    try:
        asyncio.run(service.start(scale.engines, within=120))
        yield Bench(scale, service, directory)
    finally:
        service.end()


def head(scale: Scale, directory: Path) -> list[str]:
    return [machine.name(directory), f"{scale.engines} emulated engines"]


def main(pages: Sequence[str]) -> None:
    """`pages` show what was printed."""
    scale = Scale()
    with disk() as directory:
        noise = machine.Noise()
        groups = measure(scale, directory)
        table = render(head(scale, directory), groups, list(noise.warnings()))
    say(table)
    for page in map(Path, pages):
        page.write_text(shown(page.read_text("utf-8"), table), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What is needed where engines are child processes: their command, and their ports."""

import asyncio
import shutil
import time
from collections.abc import Iterator

from acekeeper.adapters.processes import Processes
from acekeeper.core.model import Now
from acekeeper.doctor.finding import Finding, well, wrong
from acekeeper.doctor.network import ports
from acekeeper.settings import Settings


def check(settings: Settings) -> Iterator[Finding]:
    program = settings.engine_command[0]
    if shutil.which(program) is None:
        yield wrong(
            f"ENGINE_COMMAND: the program {program!r} is missing or not executable",
            "Install it, or set ENGINE_COMMAND to where it is",
        )
    else:
        yield well(f"ENGINE_COMMAND: {program} is there")
    yield from ports(settings, asyncio.run(_running(settings)))


async def _running(settings: Settings) -> set[int]:
    runtime = Processes(
        settings.engine_host,
        settings.engine_command,
        settings.state_dir,
        lambda: Now(time.time(), time.monotonic()),
    )
    await runtime.open(lambda _: None)
    try:
        return {engine.slot.port for engine in (await runtime.list()).found}
    finally:
        await runtime.close()

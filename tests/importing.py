"""What a service has imported once it serves."""

import subprocess
import sys

from .running import LIMIT_S

_SCRIPT = """
import asyncio, os, sys
from acekeeper.app import service
from acekeeper.settings import load
async def serve():
    async with service(load(os.environ), int):
        print(*sys.modules)
asyncio.run(serve())
"""


def imported(environ: dict[str, str]) -> set[str]:
    command = [sys.executable, "-c", _SCRIPT]
    said = subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True, timeout=LIMIT_S
    ).stdout
    return set(said.split())

"""A program that is told line by line what to do, and answers each line with a line of JSON."""

import asyncio
import json
import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT_S = 300.0  # of one answer


async def obey(do: Callable[..., Awaitable[Any]], failures: tuple[type[Exception], ...]) -> None:
    """Until its input ends. `failures` are answers too."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    _say({"ready": True})
    while line := await lines.readline():
        try:
            async with asyncio.timeout(LIMIT_S):
                _say({"answer": await do(*shlex.split(line.decode()))})
        except failures as error:
            _say({"error": f"{type(error).__name__}: {error}"})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201

"""`status`: whether all is well, what goes on, what went wrong last."""

import argparse
import json
import os
from typing import TYPE_CHECKING

from acekeeper.cli.commands import Commands, add_json
from acekeeper.errors import AcekeeperError, CallFailed

if TYPE_CHECKING:
    from acekeeper.settings import Settings

_EVERY_S = 2.0
_CLEAR, _HOME, _TO_THE_RIGHT, _BELOW = "\x1b[H\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def add(commands: Commands) -> None:
    text = "say whether all is well, what goes on, what went wrong last, and show the engines"
    more = "ends with 1 if no engine can be had (`not ready`) or nobody answers"
    how = commands.add("status", _status, text, more).add_mutually_exclusive_group()
    add_json(how, "one JSON object")
    how.add_argument(
        "--watch",
        metavar="SECONDS",
        type=_seconds,
        nargs="?",
        const=_EVERY_S,
        help="show it anew every so many seconds (2) until Ctrl-C",
    )


def _seconds(said: str) -> float:
    try:
        if 0.1 <= float(said) <= 3600:
            return float(said)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{said!r} is not a number of seconds from 0.1 to 3600")


def _status(arguments: argparse.Namespace) -> int:
    from acekeeper.cli import overview
    from acekeeper.settings import load

    settings = load(os.environ)
    if arguments.watch is not None:
        _watch(settings, arguments.watch)
    if arguments.json:
        try:
            shown = overview.look(settings)
        except CallFailed as error:
            shown = overview.Overview(wrong=[str(error)])
        print(json.dumps(shown._asdict()))
    else:
        shown = overview.look(settings)
        print("\n".join(overview.lines(shown)))
    return 0 if shown.ready else 1


def _watch(settings: "Settings", every: float) -> None:
    """Until Ctrl-C. The service may come and go meanwhile."""
    import shutil
    import sys
    import time

    from acekeeper.cli import overview

    if not sys.stdout.isatty():
        raise AcekeeperError("--watch needs a terminal", "Without it, use --json")
    print(end=_CLEAR)
    while True:
        try:
            lines = list(overview.lines(overview.look(settings)))
        except CallFailed as error:
            lines = [f"not ready: {error}"]
        columns, rows = shutil.get_terminal_size()
        lines = [f"{time.strftime('%H:%M:%S')}, every {every:g} s; Ctrl-C ends it", *lines]
        shown = "\n".join(f"{line[:columns]}{_TO_THE_RIGHT}" for line in lines[: rows - 1])
        print(f"{_HOME}{shown}{_BELOW}", end="", flush=True)  # at once, so that nothing flickers
        time.sleep(every)

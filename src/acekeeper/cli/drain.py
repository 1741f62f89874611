"""`drain`: engines end without cutting a stream, one by one or all of the host."""

import argparse
import math
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from acekeeper.cli import engines
from acekeeper.cli.commands import Commands
from acekeeper.cli.text import count
from acekeeper.errors import AcekeeperError

if TYPE_CHECKING:
    from acekeeper.settings import Settings

_LOOK_EVERY_S = 1.0


def add(commands: Commands) -> None:
    text = "give an engine to nobody any more, and stop it once nothing on it plays"
    more = "--all empties the host: no viewer begins until --undo"
    parser = commands.add("drain", _drain, text, more)
    parser.set_defaults(refuse=parser.error)
    engines.add_names(parser, "*")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--all", action="store_true", help="every engine, until --undo; it lasts over restarts"
    )
    what.add_argument("--undo", action="store_true", help="end --all: take viewers again")
    parser.add_argument(
        "--wait",
        nargs="?",
        const=math.inf,
        type=_seconds,
        metavar="SECONDS",
        help="with --all: until no engine is left, and at most so long; ends with 1 after that",
    )


def _seconds(said: str) -> float:
    with suppress(ValueError):
        if 0 <= float(said) < math.inf:
            return float(said)
    raise argparse.ArgumentTypeError(f"{said!r} is not a number of seconds")


def _drain(arguments: argparse.Namespace) -> int:
    from acekeeper.settings import load

    if bool(arguments.engine) == (arguments.all or arguments.undo):
        arguments.refuse("name engines, or say --all or --undo")
    if arguments.wait is not None and not arguments.all:
        arguments.refuse("--wait is for --all")
    settings = load(os.environ)
    if arguments.all:
        return _all(settings, arguments.wait)
    if arguments.undo:
        return _undo(settings)
    engines.end(settings, arguments.engine, "POST", "/engines/{}/drain")
    return 0


def _undo(settings: "Settings") -> int:
    from acekeeper.client import call

    left = call(settings, "DELETE", "/maintenance")
    print(f"viewers begin again; left: {count(left['engines'], 'engine')}")
    return 0


def _all(settings: "Settings", wait: float | None) -> int:
    from acekeeper.client import call

    began = call(settings, "POST", "/maintenance")["since"]
    print(f"in maintenance since {began}: no viewer begins; `acekeeper drain --undo` ends it")
    if wait is None:
        return 0
    deadline = time.monotonic() + wait
    before = ""
    while True:
        there = call(settings, "GET", "/engines?include=all")
        streams = sum(len(engine["streams"]) for engine in there)
        left = f"left: {count(len(there), 'engine')}, {count(streams, 'stream')}"
        if left != before:
            print(left, flush=True)
            before = left
        if not there:
            return 0
        if call(settings, "GET", "/health/ready").get("maintenance") != began:
            raise AcekeeperError("the maintenance was ended meanwhile")
        if time.monotonic() >= deadline:
            waited = f"the maintenance goes on after {wait:g} s"
            print(f"acekeeper: {waited}; {left}", file=sys.stderr)
            return 1
        time.sleep(min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic())))

"""`acekeeper drain --all` and its end."""

import argparse
import math
import os
import sys
import time
from contextlib import suppress

from acekeeper.errors import AcekeeperError

_LOOK_EVERY_S = 1.0


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "empty this host without cutting a stream: no viewer begins until that is undone"
    parser = commands.add_parser("drain", help=text, description=text)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="begin; it lasts over restarts")
    what.add_argument("--undo", action="store_true", help="take viewers again")
    parser.add_argument(
        "--wait",
        nargs="?",
        const=math.inf,
        type=_seconds,
        metavar="SECONDS",
        help="with --all: until no engine is left, and at most so long; ends with 1 after that",
    )
    parser.set_defaults(run=drain)


def drain(arguments: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    settings = load(os.environ)
    if arguments.undo:
        if arguments.wait is not None:
            raise AcekeeperError("--wait is for --all")
        left = call(settings, "DELETE", "/maintenance")
        print(f"viewers begin again; left: {_many(left['engines'], 'engine')}")
        return 0
    told = call(settings, "POST", "/maintenance")
    began = told["since"]
    print(f"in maintenance since {began}: no viewer begins; `acekeeper drain --undo` ends it")
    if arguments.wait is None:
        return 0
    deadline = time.monotonic() + arguments.wait
    before = ""
    while True:
        engines = call(settings, "GET", "/engines?include=all")
        streams = sum(len(engine["streams"]) for engine in engines)
        left = f"left: {_many(len(engines), 'engine')}, {_many(streams, 'stream')}"
        if left != before:
            print(left, flush=True)
            before = left
        if not engines:
            return 0
        if call(settings, "GET", "/health/ready")["maintenance"] != began:
            raise AcekeeperError("the maintenance was ended meanwhile")
        if time.monotonic() >= deadline:
            waited = f"the maintenance goes on after {arguments.wait:g} s"
            print(f"acekeeper: {waited}; {left}", file=sys.stderr)
            return 1
        time.sleep(min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic())))


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _seconds(said: str) -> float:
    with suppress(ValueError):
        if 0 <= float(said) < math.inf:
            return float(said)
    raise argparse.ArgumentTypeError(f"{said!r} is not a number of seconds")

"""`log`: what happened."""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from acekeeper.cli import engines
from acekeeper.cli.commands import Commands, add_json
from acekeeper.core.happenings import HAPPENINGS
from acekeeper.errors import CallFailed

if TYPE_CHECKING:
    from acekeeper.settings import Settings

_AGAIN_S = 2.0
_BY_PORT = re.compile(r"(?:engine[-@]|127\.0\.0\.1:)?([1-9][0-9]{0,4})(?:\.service)?")
_MOST = 1000  # that the API looks up


def add(commands: Commands) -> None:
    text = "show what happened to engines and streams, the newest last"
    log = commands.add("log", _log, text)
    log.add_argument(
        "-n", "--lines", type=_lines, default=20, metavar="N", help="how many of before (20)"
    )
    log.add_argument(
        "-f", "--follow", action="store_true", help="go on with what happens, until Ctrl-C"
    )
    log.add_argument(
        "--kind",
        choices=HAPPENINGS,
        metavar="KIND",
        help="only of this kind, as engine_died; docs/log.md has them all",
    )
    log.add_argument("--engine", metavar="ENGINE", help=f"only of this engine, {engines.NAMES}")
    add_json(log, "a JSON object a line")


def _lines(said: str) -> int:
    if said.isascii() and said.isdecimal() and len(said) <= 4 and int(said) <= _MOST:
        return int(said)
    raise argparse.ArgumentTypeError(f"{said!r} is not a whole number up to {_MOST}")


def _log(arguments: argparse.Namespace) -> int:
    from acekeeper.settings import load

    settings = load(os.environ)
    wanted = {}
    if arguments.kind:
        wanted["kind"] = arguments.kind
    if arguments.engine is not None:
        wanted["engine"] = _container_name(settings, arguments.engine)
    entries = _before(settings, wanted, arguments.lines)
    for entry in entries:
        _show(entry, arguments.json)
    if arguments.follow:
        for entry in _from_now(settings, entries[-1]["id"] if entries else None):
            if wanted.items() <= entry.items():
                _show(entry, arguments.json)
    return 0


def _before(settings: "Settings", wanted: dict[str, str], lines: int) -> list[dict[str, Any]]:
    from urllib.parse import urlencode

    from acekeeper.client import call

    if not lines:
        return []
    newest_first = call(settings, "GET", f"/log?{urlencode({**wanted, 'limit': lines})}")
    return list(reversed(newest_first))


def _container_name(settings: "Settings", name: str) -> str:
    """An engine that is gone has a log as well."""
    if found := _BY_PORT.fullmatch(name):
        return f"engine-{found[1]}"
    return str(engines.named(settings, [name])[0]["container_name"])


def _from_now(settings: "Settings", last: int | None) -> Iterator[dict[str, Any]]:
    """Goes on after a restart of the service without missing anything."""
    import time

    from acekeeper.client import events

    seen, heard = last, False
    while True:
        try:
            for number, entry in events(settings, "/log/live", seen):
                seen, heard = number, True
                if entry is not None:
                    yield entry
        except CallFailed:
            if not heard:
                raise
        time.sleep(_AGAIN_S)
        if not _is_there(settings):
            print("acekeeper: the service does not answer; waiting for it", file=sys.stderr)
            while not _is_there(settings):
                time.sleep(_AGAIN_S)


def _is_there(settings: "Settings") -> bool:
    from acekeeper.client import call

    try:
        call(settings, "GET", "/health/ready", within=_AGAIN_S)
    except CallFailed:
        return False
    return True


def _show(entry: Mapping[str, Any], as_json: bool) -> None:
    from acekeeper.cli.text import clock, happened

    line = json.dumps(entry) if as_json else f"{clock(entry['ts'])}  {happened(entry)}"
    print(line, flush=True)

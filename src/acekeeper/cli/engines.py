"""`engines` and `streams`: what there is and what plays; and what an engine is called."""

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acekeeper.cli.commands import Commands, add_json
from acekeeper.errors import AcekeeperError

if TYPE_CHECKING:
    from acekeeper.settings import Settings

Answer = Mapping[str, Any]

NAMES = (
    "as 19000, engine-19000, engine@19000.service, 127.0.0.1:19000, or the begin of its"
    " container's id"
)
_FEWEST = 4  # digits of a container's id that mean one
_SHORT_ID = 12


def add(commands: Commands) -> None:
    text = "show every engine, those that start or are drained too"
    add_json(commands.add("engines", _engines, text), "the API's answer to /engines?include=all")
    text = "show what plays, where and for whom"
    parser = commands.add("streams", _streams, text)
    add_json(parser, "the API's answer to /streams?status=started")


def add_names(parser: argparse.ArgumentParser, nargs: str) -> None:
    parser.add_argument("engine", metavar="ENGINE", nargs=nargs, help=f"an engine, {NAMES}")


def named(settings: "Settings", names: Sequence[str]) -> list[Answer]:
    """The engines of these names, each once and with a container; or it says which there are."""
    from acekeeper.client import call

    engines = call(settings, "GET", "/engines?include=all")
    by_address = {(e["host"], e["port"]): e for e in (_find(engines, name) for name in names)}
    found = list(by_address.values())
    for engine in found:
        if not engine["container_id"]:
            what = f"{engine['container_name']} has no container yet"
            raise AcekeeperError(what, "Try again in a moment")
    return found


def end(settings: "Settings", names: Sequence[str], method: str, path: str) -> None:
    """By a call for each, in whose path `{}` is its container's id; and says what becomes of it."""
    from acekeeper.cli.text import count
    from acekeeper.client import call

    for engine in named(settings, names):
        leaving = call(settings, method, path.format(engine["container_id"]))
        playing = count(len(engine["streams"]), "stream")
        print(f"{engine['container_name']} is {leaving['status']}; {playing} on it")


def _find(engines: Sequence[Answer], name: str) -> Answer:
    for engine in engines:
        if name in _names(engine):
            return engine
    if len(name) >= _FEWEST:
        begun = [e for e in engines if e["container_id"].startswith(name)]
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise AcekeeperError(f"the ids of {len(begun)} containers begin with {name}")
    there = ", ".join(sorted(engine["container_name"] for engine in engines))
    hint = f"There {'is' if len(engines) == 1 else 'are'} {there}" if there else "There is none"
    raise AcekeeperError(f"no engine is called {name}", hint)


def _names(engine: Answer) -> set[str]:
    port = engine["port"]
    unit = f"engine@{port}"
    address = f"{engine['host']}:{port}"
    return {str(port), engine["container_name"], unit, f"{unit}.service", address}


def rows(engines: Iterable[Answer], streams: Iterable[Answer]) -> list[list[str]]:
    from acekeeper.cli.text import count

    players = {stream["id"]: stream["player"] for stream in streams}
    engines = sorted(engines, key=lambda e: (e["host"], e["port"]))
    # A service of the version before knows none.
    has_vpns = any(engine.get("vpn") for engine in engines)
    vpn = ["VPN"] if has_vpns else []
    lines = [["ENGINE", "ADDRESS", *vpn, "PHASE", "HEALTH", "STREAMS", "FOR", "CONTAINER"]]
    for engine in engines:
        theirs = sorted({players[i] for i in engine["streams"] if players.get(i)})
        lines.append(
            [
                engine["container_name"],
                f"{engine['host']}:{engine['port']}",
                *([_vpn(engine)] if has_vpns else []),
                engine["phase"],
                _health(engine),
                count(len(engine["streams"]), "stream"),
                ", ".join(theirs) or "-",
                engine["container_id"][:_SHORT_ID] or "-",
            ]
        )
    return lines


def _vpn(engine: Answer) -> str:
    return f"{engine['vpn'] or '-'}{', forwarded' if engine['forwarded'] else ''}"


def _health(engine: Answer) -> str:
    more = {"playback_doubted": "doubted", "starving": "starving"}
    return ", ".join(
        [engine["health_status"], *(word for name, word in more.items() if engine[name])]
    )


def _engines(arguments: argparse.Namespace) -> int:
    from acekeeper.cli.text import table
    from acekeeper.client import call
    from acekeeper.settings import load

    settings = load(os.environ)
    engines = call(settings, "GET", "/engines?include=all")
    if arguments.json:
        print(json.dumps(engines))
    elif engines:
        streams = call(settings, "GET", "/streams?status=started")
        print("\n".join(table(rows(engines, streams))))
    else:
        print("there is no engine")
    return 0


def _streams(arguments: argparse.Namespace) -> int:
    from acekeeper.cli.text import ago, table
    from acekeeper.client import call
    from acekeeper.settings import load

    settings = load(os.environ)
    streams = call(settings, "GET", "/streams?status=started")
    if arguments.json:
        print(json.dumps(streams))
        return 0
    if not streams:
        print("nothing plays")
        return 0
    engines = call(settings, "GET", "/engines?include=all")
    names = {engine["container_id"]: engine["container_name"] for engine in engines}
    lines = [["ENGINE", "BEGAN", "FOR", "CONTENT"]]
    for stream in sorted(streams, key=lambda stream: stream["started_at"]):
        where = names.get(stream["container_id"], "elsewhere")
        content = f"{stream['key_type']} {stream['key']}"
        lines.append([where, ago(stream["started_at"]), stream["player"] or "-", content])
    print("\n".join(table(lines)))
    return 0

"""`fleet`: the hosts of the fleet, or the engines of one."""

import argparse
import json
import os
from collections.abc import Mapping
from typing import Any

from acekeeper.cli.commands import Commands, add_json

Answer = Mapping[str, Any]


def add(commands: Commands) -> None:
    text = "show the hosts of the fleet, as this host sees them"
    parser = commands.add("fleet", _fleet, text, "or the engines of one of them")
    parser.add_argument("host", metavar="HOST", nargs="?", help="a host of the fleet, by its name")
    add_json(parser, "the API's answer to /fleet, or to /fleet/HOST")


def _fleet(arguments: argparse.Namespace) -> int:
    from urllib.parse import quote

    from acekeeper.cli.text import table
    from acekeeper.client import call
    from acekeeper.settings import load

    one = arguments.host
    path = "/fleet" if one is None else f"/fleet/{quote(one, safe='')}"
    said = call(load(os.environ), "GET", path)
    if arguments.json:
        print(json.dumps(said))
    elif one is not None:
        print("\n".join(_engines(said)))
    elif said["name"] is None:
        print("this host belongs to no fleet")
    else:
        print(summary(said["name"], said["link"]))
        print("\n".join(table(_hosts(said["hosts"]))))
    return 0


def summary(name: str, link: Answer) -> str:
    from acekeeper.cli.text import ago, clock, printable

    since = f" since {clock(link['since'])}, {ago(link['since'])}" if link["since"] else ""
    how = "connected" if link["up"] else f"not connected ({link['why']})"
    return printable(f"fleet {name}: {how}{since}")


def _hosts(hosts: list[Answer]) -> list[list[str]]:
    lines = [
        ["HOST", "STANDING", "HEARD", "ENGINES", "FREE", "ROOM", "STREAMS", "VERSION", "PANEL"]
    ]
    for host in hosts:
        numbers = (host[name] for name in ("engines", "free", "room", "streams"))
        lines.append(
            [
                host["host"],
                _standing(host),
                "this host" if host["is_this"] else f"{host['age_s']:.0f} s ago",
                *map(str, numbers),
                host["version"],
                host["panel"] or "-",
            ]
        )
    return lines


def _standing(host: Answer) -> str:
    return f"{host['standing']}{', in maintenance' if host['maintenance'] else ''}"


def _engines(said: Answer) -> list[str]:
    from acekeeper.cli.text import count, table

    host, engines = said["host"], said["engines"]
    if host["standing"] == "lost":
        return [f"{host['host']}: lost; its engines are not known until it is heard again"]
    known = "" if said["complete"] else "; not all of its engines are known yet"
    lines = [f"{host['host']}: {_standing(host)}, {count(len(engines), 'engine')}{known}"]
    if engines:
        rows = [["ENGINE", "PORT", "DOING", "STREAMS"]]
        rows += ([e["id"], str(e["port"]), e["doing"], str(e["streams"])] for e in engines)
        lines += table(rows)
    return lines

"""`settings`: those in force, and what systemd and nftables need of them."""

import argparse
import json
import os
from pathlib import Path

from acekeeper.cli.commands import Commands, add_json
from acekeeper.errors import AcekeeperError


def add(commands: Commands) -> None:
    text = "show every setting in force and where it came from"
    settings = commands.add("settings", _settings, text)
    what = settings.add_mutually_exclusive_group()
    add_json(what, "a JSON array of {name, value, source}")
    what.add_argument(
        "--drop-ins",
        metavar="DIR",
        type=Path,
        help="write what systemd's units need of them below DIR, and name the files that changed",
    )
    what.add_argument(
        "--firewall",
        action="store_true",
        help="print the table of nftables that lets those of GATEWAY_ALLOW to our ports",
    )
    settings.add_argument(
        "--check", action="store_true", help="with --drop-ins: name them, and write nothing"
    )


def _settings(arguments: argparse.Namespace) -> int:
    from acekeeper.drop_ins import outdated, write
    from acekeeper.firewall import firewall
    from acekeeper.settings import load
    from acekeeper.settings_table import in_force, table

    if arguments.check and arguments.drop_ins is None:
        raise AcekeeperError("--check is for --drop-ins DIR")
    settings = load(os.environ)
    if arguments.firewall:
        print(firewall(settings), end="")
    elif arguments.json:
        print(json.dumps([setting._asdict() for setting in in_force(settings)]))
    elif arguments.drop_ins is None:
        print(table(settings))
    else:
        change = outdated if arguments.check else write
        for path in change(arguments.drop_ins, settings):
            print(path)
    return 0

"""`canary`: settings and an engine of them are tried before anything that runs is touched."""

import argparse
import os

from acekeeper.cli import ending
from acekeeper.cli.commands import Commands


def add(commands: Commands) -> None:
    text = "try the settings on this host, and one engine of them beside those that run"
    parser = commands.add("canary", _canary, text)
    parser.add_argument(
        "--settings", action="store_true", help="the settings alone: no engine is started"
    )


def _canary(arguments: argparse.Namespace) -> int:
    from acekeeper.canary import prove

    ending.in_order()
    for line in prove(os.environ, engine=not arguments.settings):
        print(line)
    return 0

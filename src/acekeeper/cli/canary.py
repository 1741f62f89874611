"""`canary`: settings and an engine of them are tried before anything that runs is touched."""

import argparse
import os

from acekeeper.cli.commands import Commands


def add(commands: Commands) -> None:
    text = "try the settings on this host, and one engine of them beside those that run"
    commands.add("canary", _canary, text)


def _canary(_: argparse.Namespace) -> int:
    from acekeeper.canary import prove

    for line in prove(os.environ):
        print(line)
    return 0

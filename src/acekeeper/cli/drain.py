"""`drain`: engines end without cutting a stream."""

import argparse
import os

from acekeeper.cli import engines
from acekeeper.cli.commands import Commands


def add(commands: Commands) -> None:
    text = "give an engine to nobody any more, and stop it once nothing on it plays"
    engines.add_names(commands.add("drain", _drain, text), "+")


def _drain(arguments: argparse.Namespace) -> int:
    from acekeeper.cli.text import count
    from acekeeper.client import call
    from acekeeper.settings import load

    settings = load(os.environ)
    for engine in engines.named(settings, arguments.engine):
        leaving = call(settings, "POST", f"/engines/{engine['container_id']}/drain")
        playing = count(len(engine["streams"]), "stream")
        print(f"{engine['container_name']} is {leaving['status']}; {playing} on it")
    return 0

"""`sweep`: what the timers call."""

import argparse
import os

from acekeeper.cli.commands import Commands


def add(commands: Commands) -> None:
    text = "ask the service for one pass of a kind, and say what it found and did"
    sweep = commands.add("sweep", _sweep, text)
    sweep.add_argument("kind", choices=["health", "streams", "scale"])


def _sweep(arguments: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    report = call(load(os.environ), "POST", f"/sweeps/{arguments.kind}")
    found = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.items())
    print(f"{arguments.kind}: {found}")
    return 0

"""The words of the command line. Each group of commands is a module with an `add`, and
imports what it needs when it runs, so that what only asks the service is soon there."""

import argparse

from acekeeper import __version__
from acekeeper.cli import doctor, emulator, service, settings, simulate, status, sweep
from acekeeper.cli.commands import Commands

_GROUPS = (service, status, doctor, sweep, settings, simulate, emulator)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="acekeeper", description="Keeps AceStream engines running and hands them to players."
    )
    made.add_argument("--version", action="version", version=f"acekeeper {__version__}")
    commands = Commands(made)
    for group in _GROUPS:
        group.add(commands)
    return made

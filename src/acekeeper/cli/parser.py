"""The words of the command line. Each group of commands is a module with an `add`, and
imports what it needs when it runs, so that what only asks the service is soon there."""

import argparse

from acekeeper import __version__
from acekeeper.cli import (
    backup,
    canary,
    doctor,
    drain,
    emulator,
    engines,
    fleet,
    log,
    operate,
    serve,
    settings,
    simulate,
    status,
    stop,
)
from acekeeper.cli.commands import Commands

_GROUPS = (
    *(status, engines, fleet, log, doctor, settings, simulate),  # that only look
    *(drain, stop, operate, backup, canary),
    *(serve, emulator),
)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="acekeeper",
        description="Keeps AceStream engines running and hands them to players.",
        epilog="Exit status: 0; 1 if it could not be done, or if all is not well (status, doctor);"
        " 2 if the words are not understood; 78 if a setting cannot be used; 130 after Ctrl-C.",
    )
    made.add_argument("--version", action="version", version=f"acekeeper {__version__}")
    commands = Commands(made)
    for group in _GROUPS:
        group.add(commands)
    return made

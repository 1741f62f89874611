"""How a group of commands adds its own to the parser."""

import argparse
from collections.abc import Callable

Run = Callable[[argparse.Namespace], int]


def add_json(to: argparse._ActionsContainer, what: str) -> None:
    to.add_argument("--json", action="store_true", help=f"print {what}")


class Commands:
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(self, name: str, run: Run, text: str, more: str = "") -> argparse.ArgumentParser:
        """`run` gets the arguments, and says the exit status. What is returned takes options.
        `more` is for the command's own help."""
        description = f"{text}; {more}" if more else text
        parser = self._subparsers.add_parser(name, help=text, description=description)
        parser.set_defaults(run=run)
        return parser

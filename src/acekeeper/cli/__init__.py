"""The `acekeeper` command."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from acekeeper import output
from acekeeper.cli import account, emulator
from acekeeper.cli.parser import parser
from acekeeper.errors import AcekeeperError, BadSetting, OutputFailed

_CONFIG = 78  # EX_CONFIG of sysexits.h: trying again without a change is useless


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    output.tell_failures_apart()
    try:
        return _run(words)
    except BrokenPipeError:  # `| head`: who read it has enough
        output.give_up()
        return 1
    except AcekeeperError as error:
        if isinstance(error, OutputFailed):
            output.give_up()
        print(f"acekeeper: {error}", file=sys.stderr)
        return _CONFIG if isinstance(error, BadSetting) else 1
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    status = emulator.run(words[1:]) if words[:1] == [emulator.NAME] else _run_parsed(words)
    print(end="", flush=True)
    return status


def _run_parsed(words: list[str]) -> int:
    try:
        arguments = parser().parse_args(words)
    except SystemExit as ended:  # it said what was wrong, or printed its help
        return ended.code if isinstance(ended.code, int) else 1
    account.refuse_another(os.environ)
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)

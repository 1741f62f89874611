"""`simulate`: a day of viewers under the settings in force."""

import argparse
import os
from contextlib import suppress

from acekeeper.cli.commands import Commands
from acekeeper.cli.reading import name_of, opened
from acekeeper.errors import BadTrace


def add(commands: Commands) -> None:
    text = "show what the settings in force would do on a day of viewers"
    simulate = commands.add("simulate", _simulate, text)
    simulate.add_argument(
        "trace",
        metavar="TRACE",
        help="a file that says when viewers come and go (docs/simulation.md), - for standard input,"
        " or a day that is built in: evening, quiet",
    )
    simulate.add_argument(
        "--start-seconds",
        type=_start_seconds,
        default=6.0,
        metavar="N",
        help="how long an engine takes to start, on average (6)",
    )
    simulate.add_argument(
        "--vpn-losses",
        type=_losses,
        default=0.0,
        metavar="N",
        help="how often a day each of VPNS loses its tunnel, for five minutes (0)",
    )


def _simulate(arguments: argparse.Namespace) -> int:
    from acekeeper.rules import rules_of
    from acekeeper.settings import load
    from acekeeper.simulation import DAYS, read, simulate, text

    rules = rules_of(load(os.environ))
    trace = arguments.trace
    if trace in DAYS:
        viewers = DAYS[trace](0)
    else:
        hint = f"Name a file, or one of {', '.join(DAYS)}"
        try:
            with opened(trace, hint) as source:
                viewers = read(source.read().decode("utf-8"))
        except UnicodeDecodeError:
            raise BadTrace(f"{name_of(trace)} is not UTF-8 text") from None
    clients, players = (
        simulate(
            rules,
            viewers,
            arguments.start_seconds,
            by_gateway=by_gateway,
            vpn_losses=arguments.vpn_losses,
        )
        for by_gateway in (False, True)
    )
    print(text(clients, players))
    return 0


def _start_seconds(said: str) -> float:
    with suppress(ValueError):
        if 0 < float(said) <= 3600:
            return float(said)
    raise argparse.ArgumentTypeError(f"{said!r} is not a number of seconds up to 3600")


def _losses(said: str) -> float:
    with suppress(ValueError):
        if 0 <= float(said) <= 100:
            return float(said)
    raise argparse.ArgumentTypeError(f"{said!r} is not a number up to 100")

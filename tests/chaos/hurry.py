"""`acekeeper serve` on a host whose clocks run fast: days pass in minutes.

Its own deadlines come late by that much, as it sleeps by the true clock. Players of the gateway
wait, and are waited for, by the true clock: no engine answers within milliseconds. At a signal it
writes to a file how many blocks of memory its objects take, and how much its state holds of the
gateway.
"""

import gc
import json
import signal
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from acekeeper import app
from acekeeper.cli import main
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.rules import rules_of
from acekeeper.settings import Settings

COUNTS_AT = signal.SIGUSR2
SIZES = ("plays", "holds", "readers", "tokens", "infohashes", "refusals")  # of the state

_OF_PLAYERS = (
    *("gateway_wait", "gateway_wait_redirected", "gateway_hedge", "gateway_idle"),
    *("open_lasts", "stop_retry", "still_read_after", "came_within", "gone_after", "gone_for_all"),
    *("list_read_within", "list_gone_after", "look_lasts"),
)


def hurry(times: float) -> None:
    for name in ("time", "monotonic"):
        clock = getattr(time, name)
        began = clock()
        setattr(time, name, lambda clock=clock, began=began: began + (clock() - began) * times)


def wait_for_players(times: float) -> None:
    def rules(settings: Settings) -> Rules:
        hurried = rules_of(settings)
        return replace(hurried, **{name: times * getattr(hurried, name) for name in _OF_PLAYERS})

    vars(app)["rules_of"] = rules


def count(into: Path) -> None:
    states: list[State] = []

    def write(*_: object) -> None:
        if not states:
            states.extend(found for found in gc.get_objects() if isinstance(found, State))
        counts = {"blocks": sys.getallocatedblocks()}
        for state in states:
            counts |= {name: len(getattr(state, name)) for name in SIZES}
        new = into.with_suffix(".new")
        new.write_text(json.dumps(counts), "ascii")
        new.replace(into)  # whole, or not there yet

    write()
    signal.signal(COUNTS_AT, write)


if __name__ == "__main__":
    hurry(float(sys.argv[1]))
    wait_for_players(float(sys.argv[1]))
    count(Path(sys.argv[2]))
    sys.exit(main(["serve"]))

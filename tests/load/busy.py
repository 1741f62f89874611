"""Events at a pace, and one sweep after another, for some seconds: in a process of its own, so that
it takes nothing from a reader beside it. Prints a line when it begins, and then how many events
were acknowledged."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from threading import Thread

from .events import singles
from .generator import Kept, post
from .measuring import say

_TELLERS = 8


def main(port: int, engine: int, per_second: float, seconds: float) -> int:
    say("telling")
    until = time.perf_counter() + seconds
    for kind in ("health", "streams"):
        # Where engines hang, the last one takes longer than there is time.
        Thread(target=_sweep, args=(port, kind, until), daemon=True).start()
    every = _TELLERS / per_second

    def tell(number: int) -> int:
        told, due = 0, time.perf_counter() + every * number / _TELLERS
        with Kept(port) as kept:
            for request in singles(engine, seconds, f"busy-{os.getpid()}-{number}-"):
                time.sleep(max(0.0, due - time.perf_counter()))
                kept.ask(request)
                told, due = told + 1, due + every
        return told

    with ThreadPoolExecutor(_TELLERS) as tellers:
        return sum(tellers.map(tell, range(_TELLERS)))


def _sweep(port: int, kind: str, until: float) -> None:
    with Kept(port) as kept:
        for request in repeat(post(f"/sweeps/{kind}")):
            if time.perf_counter() > until:
                return
            kept.ask(request)


if __name__ == "__main__":
    port, engine, per_second, seconds = sys.argv[1:]
    say(str(main(int(port), int(engine), float(per_second), float(seconds))))

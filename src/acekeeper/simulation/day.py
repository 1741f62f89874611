"""A whole day: the pool comes to rest, viewers come and go, the pool comes to rest again."""

from collections.abc import Sequence
from functools import partial
from random import Random

from acekeeper.core.model import Rules
from acekeeper.simulation.client import Client
from acekeeper.simulation.players import Players
from acekeeper.simulation.pool import Pool
from acekeeper.simulation.report import Tally
from acekeeper.simulation.trace import Viewer

_SETTLES_WITHIN_S = 3600.0


def simulate(
    rules: Rules,
    viewers: Sequence[Viewer],
    start_seconds: float,
    seed: int = 0,
    *,
    by_gateway: bool = False,
) -> Tally:
    """The same seed gives the same day. Starts take `start_seconds` on average. The viewers have a
    client of the API, or each asks the gateway."""
    tally = Tally(rules, _SETTLES_WITHIN_S)

    def arrive(viewer: Viewer) -> None:
        tally.arrived(pool.now.mono)
        pool.follow(who.watch(viewer))

    pool = Pool(rules, start_seconds, Random(seed), tally)
    who = Players(pool) if by_gateway else Client(pool)
    for viewer in viewers:
        pool.later(tally.zero + viewer.arrives, partial(arrive, viewer))
    last = tally.zero + max(viewer.arrives + viewer.stays for viewer in viewers)
    pool.later(tally.zero, partial(pool.follow, who.meanwhile(last)))
    pool.run(last + _SETTLES_WITHIN_S)
    return tally

"""A whole day: the pool comes to rest, viewers come and go, the pool comes to rest again. And days
to try settings on without a trace of one's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random

from acekeeper.core.rules import Rules
from acekeeper.simulation import tunnels
from acekeeper.simulation.pool import Pool
from acekeeper.simulation.report import Tally
from acekeeper.simulation.trace import Viewer
from acekeeper.simulation.viewers import Client, Players

_SETTLES_WITHIN_S = 3600.0
_HOUR = 3600.0
_BY_HOUR = (2, 1, 1, 0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 5, 4, 4, 5, 6, 6, 6, 6, 5, 4, 3)
_MATCHES = (15.5, 20.75)


def simulate(
    rules: Rules,
    viewers: Sequence[Viewer],
    start_seconds: float,
    seed: int = 0,
    *,
    by_gateway: bool = False,
    vpn_losses: float = 0.0,
) -> Tally:
    """The same seed gives the same day. Starts take `start_seconds` on average. The viewers have a
    client of the API, or each asks the gateway. Each VPN loses its tunnel `vpn_losses` times a
    day."""
    tally = Tally(rules, _SETTLES_WITHIN_S)

    def arrive(viewer: Viewer) -> None:
        tally.arrived(pool.now.mono)
        pool.follow(who.watch(viewer))

    pool = Pool(rules, start_seconds, Random(seed), tally)
    tunnels.connect(pool)
    who = Players(pool) if by_gateway else Client(pool)
    for viewer in viewers:
        pool.later(tally.zero + viewer.arrives, partial(arrive, viewer))
    last = tally.zero + max(viewer.arrives + viewer.stays for viewer in viewers)
    pool.later(tally.zero, partial(pool.follow, who.meanwhile(last)))
    for vpn in rules.vpns if vpn_losses else ():
        begins = partial(pool.follow, tunnels.fails(pool, vpn, vpn_losses, last))
        pool.later(tally.zero, begins)
    pool.run(last + _SETTLES_WITHIN_S)
    return tally


def evening(seed: int) -> list[Viewer]:
    """Some come at any hour and stay long, some zap, and two matches bring ten each."""
    random = Random(seed)
    return sorted([*_any_hour(random, 1.0), *_matches(random), *_zapping(random, 12)])


def quiet(seed: int) -> list[Viewer]:
    """One here, one there."""
    random = Random(seed)
    return sorted([*_any_hour(random, 0.2), *_zapping(random, 2)])


def _any_hour(random: Random, share: float) -> Iterator[Viewer]:
    for hour, viewers in enumerate(_BY_HOUR):
        for _ in range(viewers):
            if random.random() < share:
                stays = min(random.expovariate(1 / 2400), 3 * _HOUR)
                yield Viewer((hour + random.random()) * _HOUR, 60 + stays)


def _matches(random: Random) -> Iterator[Viewer]:
    for hour in _MATCHES:
        for _ in range(10):
            arrives = hour * _HOUR + random.gauss(0, 45)
            yield Viewer(arrives, random.uniform(1.6, 2.0) * _HOUR)


def _zapping(random: Random, count: int) -> Iterator[Viewer]:
    for number in range(count):
        at = random.uniform(8, 23) * _HOUR
        for _ in range(random.randint(4, 12)):
            stays = random.uniform(3, 30)
            yield Viewer(at, stays, f"zapper-{number}")
            at += stays + random.uniform(1, 4)


DAYS: Mapping[str, Callable[[int], list[Viewer]]] = {"evening": evening, "quiet": quiet}

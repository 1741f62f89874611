"""Which port the next engine gets."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import itemgetter

from acekeeper.core.model import Now, Rules
from acekeeper.core.names import Slot
from acekeeper.core.state import State


def free_slots(state: State, rules: Rules, now: Now) -> Iterator[Slot]:
    """The lowest free port that has rested first: a client may still remember who had it before.

    After those the ones that rest, longest first; none when every port has an engine.
    """
    resting: list[tuple[float, Slot]] = []
    for port in _free_ports(state, rules):
        slot = Slot(rules.host, port)
        vacated = state.vacated.get(slot)
        if vacated is None or now.mono - vacated.mono >= rules.port_rest:
            yield slot
        else:
            resting.append((vacated.mono, slot))
    yield from (slot for _, slot in sorted(resting))


def _free_ports(state: State, rules: Rules) -> Iterator[int]:
    """The lowest first. A row of ports that have engines is passed over at once."""
    taken = state.index.ports.ranks.get(rules.host, ())
    port = rules.ports.first
    nth = bisect_left(taken, port, key=itemgetter(0))
    while port <= rules.ports.last:
        row = bisect_right(range(len(taken)), port - nth, nth, key=lambda n: taken[n][1].port - n)
        if row == nth:
            yield port
        port, nth = port + max(1, row - nth), row

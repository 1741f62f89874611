"""Which port the next engine gets."""

from collections.abc import Iterator
from itertools import filterfalse, repeat, starmap

from acekeeper.core.model import Now, Rules
from acekeeper.core.names import Slot
from acekeeper.core.state import State


def free_slots(state: State, rules: Rules, now: Now) -> Iterator[Slot]:
    """The lowest free port that has rested first: a client may still remember who had it before.

    After those the ones that rest, longest first; none when every port has an engine.
    """
    resting: list[tuple[float, Slot]] = []
    every = zip(repeat(rules.host), range(rules.ports.first, rules.ports.last + 1))
    for slot in starmap(Slot, filterfalse(state.engines.__contains__, every)):
        vacated = state.vacated.get(slot)
        if vacated is None or now.mono - vacated.mono >= rules.port_rest:
            yield slot
        else:
            resting.append((vacated.mono, slot))
    yield from (slot for _, slot in sorted(resting))

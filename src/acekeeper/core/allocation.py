"""Which port the next engine gets."""

from acekeeper.core.model import Now, Rules
from acekeeper.core.names import Slot
from acekeeper.core.state import State


def next_slot(state: State, rules: Rules, now: Now) -> Slot | None:
    """The lowest free port that has rested: a client may still remember who had it before.

    With none rested, the one that rests longest; None when every port has an engine.
    """
    resting: list[tuple[float, Slot]] = []
    for port in range(rules.ports.first, rules.ports.last + 1):
        slot = Slot(rules.host, port)
        if slot in state.engines:
            continue
        vacated = state.vacated.get(slot)
        if vacated is None or now.mono - vacated.mono >= rules.port_rest:
            return slot
        resting.append((vacated.mono, slot))
    return min(resting)[1] if resting else None

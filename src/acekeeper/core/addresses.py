"""Where players reach the gateway and the engines: which of those addresses are there, and which
engines are to be replaced since they are not at all of theirs, at one too many, on a port that is
no longer in their range, or have an old way out."""

from collections.abc import Collection

from acekeeper.core import network
from acekeeper.core.indexes import NOBODY
from acekeeper.core.model import Engine, Now, Rules
from acekeeper.core.state import State

MOVED = "addresses_changed"
_MOVES = frozenset({MOVED, network.CHANGED})


def told(state: State, rules: Rules, there: tuple[str, ...]) -> None:
    before = absent(state, rules)
    state.addresses = there
    now = absent(state, rules)
    if now != before:
        state.tell("addresses_absent" if now else "addresses_complete", addresses=now or None)


def absent(state: State, rules: Rules) -> tuple[str, ...]:
    """Those this host has not got, or not yet."""
    there = state.addresses
    return () if there is None else tuple(a for a in wanted(rules) if a not in there)


def wanted(rules: Rules) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*rules.gateway_addresses, *rules.addresses]))


def absences(rules: Rules, absent: Collection[str]) -> list[str]:
    """A sentence for each, and for each setting that names it."""
    settings = {"GATEWAY_HOST": rules.gateway_addresses, "ENGINE_HOST": rules.addresses}
    return [
        f"{name}: {address} is not an address of this host (yet)"
        for name, addresses in settings.items()
        for address in addresses
        if address in absent
    ]


def next_to_move(state: State, rules: Rules, now: Now) -> Engine | None:
    """The engine to replace, one at a time and with nobody on it. One whose address went away
    stays: the address may come back."""
    groups = state.index.addresses.ranks.items()  # few
    firsts = ((at, state.engines[ranks[0][1]]) for at, ranks in groups)
    wrong = {at for at, engine in firsts if _is_misplaced(engine, state, rules)}
    ends = (slot.port for _, ranks in groups for _, slot in (ranks[0], ranks[-1]))
    old = network.stale_ways(state, now)
    if not wrong and not old and all(port in rules.ports for port in ends):
        return None
    if any(e.drain and e.drain.reason in _MOVES for e in state.uneasy_engines()):
        return None
    idle = (state.engines[slot] for _, slot in state.index.idle.ranks.get(NOBODY, ()))
    return next(
        (
            e
            for e in idle
            if e.addresses in wrong or e.way_out in old or e.slot.port not in rules.ports
        ),
        None,
    )


def _is_misplaced(engine: Engine, state: State, rules: Rules) -> bool:
    there = state.addresses or ()
    lacks = any(a in there and not engine.is_at(a) for a in rules.addresses)
    return lacks or any(address not in rules.addresses for address in engine.addresses)

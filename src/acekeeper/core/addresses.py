"""Where players reach the gateway and the engines: which of those addresses are there, and which
engines are not at all of theirs, or at one too many."""

from collections.abc import Collection

from acekeeper.core.model import Engine
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


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


def is_misplaced(engine: Engine, state: State, rules: Rules) -> bool:
    """Not one whose address went away: the address may come back."""
    there = state.addresses or ()
    lacks = any(a in there and not engine.is_at(a) for a in rules.addresses)
    return lacks or any(address not in rules.addresses for address in engine.addresses)

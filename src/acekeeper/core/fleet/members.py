"""Which hosts there are: what they say is applied, a lease ends where they say nothing, and what
was missed is asked for."""

from collections.abc import Iterator

from acekeeper.core.fleet.actions import Drop, Sync
from acekeeper.core.fleet.facts import FleetFact
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


def told(state: State, rules: Rules, fact: FleetFact, now: Now) -> None:
    raise NotImplementedError


def lapse(state: State, rules: Rules, now: Now) -> None:
    """Time passed."""


def take(state: State, action: Sync | Drop, now: Now) -> None:
    raise NotImplementedError


def steps(state: State, rules: Rules, now: Now) -> Iterator[Sync | Drop | float]:
    yield from ()

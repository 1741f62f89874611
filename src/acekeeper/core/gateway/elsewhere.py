"""Other hosts are asked to play where this one has no engine at once."""

from collections.abc import Iterator

from acekeeper.core.fleet.actions import AskHost
from acekeeper.core.gateway.facts import HostDeclined, HostPlayed
from acekeeper.core.gateway.model import Play
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


def asks(
    state: State, rules: Rules, play: Play, now: Now, *, may_start: bool
) -> Iterator[AskHost | float]:
    """Nothing, where no host is left to be asked."""
    yield from ()


def ask(state: State, action: AskHost, now: Now) -> None:
    raise NotImplementedError


def played(state: State, rules: Rules, fact: HostPlayed, now: Now) -> None:
    raise NotImplementedError


def declined(state: State, fact: HostDeclined, now: Now) -> None:
    raise NotImplementedError

"""What this host says of itself."""

from collections.abc import Mapping

from acekeeper.core.fleet.model import Digest, SharedEngine
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


def digest(state: State, rules: Rules, now: Now) -> Digest:
    raise NotImplementedError


def engines(state: State, rules: Rules) -> Mapping[str, SharedEngine]:
    """By id."""
    raise NotImplementedError

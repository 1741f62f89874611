"""Policies of retries, and what they were told of attempts that failed."""

from dataclasses import dataclass, field

from acekeeper.adapters.retries import Retries
from acekeeper.errors import Failure

ONCE = Retries(0, 0, lambda _source, _failure: None)


@dataclass
class Failed:
    """Whom was called, and how the call failed, in order."""

    calls: list[tuple[str, Failure]] = field(default_factory=list)

    def retries(self, most: int, backoff: float = 0) -> Retries:
        return Retries(most, backoff, lambda *call: self.calls.append(call))

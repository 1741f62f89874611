"""The circuit breaker over engine starts: it opens after failures in a row, lets one trial
through after a while, and closes on a success."""

import math
from enum import StrEnum

from msgspec.structs import replace

from acekeeper.core.model import Breaker, Now
from acekeeper.core.rules import Rules


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def circuit(breaker: Breaker, rules: Rules, now: Now) -> Circuit:
    if breaker.opened is None:
        return Circuit.CLOSED
    return Circuit.HALF_OPEN if now.mono >= half_open_at(breaker, rules) else Circuit.OPEN


def half_open_at(breaker: Breaker, rules: Rules) -> float:
    """Monotonic seconds; minus infinity for a closed breaker."""
    return breaker.opened.mono + rules.breaker_timeout if breaker.opened else -math.inf


def seconds_left(breaker: Breaker, rules: Rules, now: Now) -> int:
    """Whole seconds until the next trial, 0 when it may come at once."""
    return max(0, math.ceil(half_open_at(breaker, rules) - now.mono)) if breaker.opened else 0


def failed(breaker: Breaker, rules: Rules, now: Now) -> Breaker:
    """Counts a failed start. A failure while half-open opens for another round."""
    failures = breaker.failures + 1
    where = circuit(breaker, rules, now)
    if where is Circuit.HALF_OPEN or (
        where is Circuit.CLOSED and failures >= rules.breaker_threshold
    ):
        return Breaker(failures, now, now)
    return replace(breaker, failures=failures, last_failure=now)


def became_ready(breaker: Breaker, rules: Rules, now: Now) -> Breaker:
    """A readiness closes a half-open breaker, on probation: one early death opens it again."""
    if circuit(breaker, rules, now) is not Circuit.HALF_OPEN:
        return breaker
    return Breaker(max(0, rules.breaker_threshold - 1), None, breaker.last_failure)


def closed(breaker: Breaker) -> Breaker:
    """As if nothing had failed; a trial under way is a start like any other."""
    return Breaker(last_failure=breaker.last_failure)


def settled(breaker: Breaker) -> Breaker:
    """An engine outlived its first seconds, so the failures before it were not in a row."""
    return breaker if breaker.opened else replace(breaker, failures=0)

"""Days of viewers, by the simulation: who waits, and what engines that costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from msgspec.structs import replace

from acekeeper.core.rules import Rules
from acekeeper.simulation import DAYS, Viewer, simulate
from acekeeper.simulation.report import Tally, percentile

START_S = 6.0  # of `acekeeper simulate`
VIEWERS, STAYS_S = 40, 3600.0
ROOM = 60  # engines at most, so that it is not the cap that refuses


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one or more days."""

    viewers: int = 0
    waits: Sequence[float] = ()
    refused: int = 0
    failed: int = 0
    shared: int = 0
    starts: int = 0
    engine_hours: float = 0.0

    @property
    def without_picture(self) -> int:
        return self.refused + self.failed

    @property
    def most_waited(self) -> float:
        """What 95 % of those who were served did not wait longer than."""
        at_once = self.viewers - self.refused - len(self.waits)
        return percentile([*self.waits, *[0.0] * at_once], 0.95)


@cache
def evening(rules: Rules, *, by_gateway: bool = False) -> Outcome:
    """What `acekeeper simulate evening` shows."""
    return _outcome([simulate(rules, DAYS["evening"](0), START_S, by_gateway=by_gateway)])


@cache
def match(
    rules: Rules,
    within: float,
    seeds: int,
    start_seconds: float = START_S,
    *,
    by_gateway: bool = False,
) -> Outcome:
    """A match begins: forty come within so many seconds, and stay."""
    roomy = replace(rules, max_replicas=ROOM)
    return _outcome(
        [
            simulate(roomy, _arrivals(within, seed), start_seconds, seed, by_gateway=by_gateway)
            for seed in range(seeds)
        ]
    )


def _arrivals(within: float, seed: int) -> list[Viewer]:
    random = Random(seed)
    return sorted(Viewer(random.uniform(0, within), STAYS_S) for _ in range(VIEWERS))


def _outcome(tallies: Sequence[Tally]) -> Outcome:
    return Outcome(
        viewers=sum(tally.viewers for tally in tallies),
        waits=[wait for tally in tallies for wait in tally.waits],
        refused=sum(tally.refused for tally in tallies),
        failed=sum(tally.failed for tally in tallies),
        shared=sum(tally.shared for tally in tallies),
        starts=sum(tally.starts for tally in tallies),
        engine_hours=sum(tally.engine_seconds for tally in tallies) / 3600,
    )

"""What came out of a simulated day, counted and told."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from acekeeper.core.actions import Action, Drain, Start, Stop, TakeBack
from acekeeper.core.model import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import SCALE_DOWN

_HOUR = 3600.0


@dataclass(slots=True)
class Hour:
    viewers: int = 0
    waited: int = 0
    engines: int = 0  # at most
    free: int | None = None  # at least
    free_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """Counts along with the day, which begins at `zero` and has its first hour there."""

    rules: Rules
    zero: float
    at_once: int = 0
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0  # the engine was not ready when it was played from, or gone
    shared: int = 0  # got an engine on which somebody was
    starts: int = 0
    stops: int = 0
    undone: int = 0
    engine_seconds: float = 0.0
    stream_seconds: float = 0.0
    hours: list[Hour] = field(default_factory=list)
    _drained: list[float] = field(default_factory=list)
    _revision: int = -1
    _free: int = 0
    _playing: int = 0

    @property
    def viewers(self) -> int:
        return self.at_once + len(self.waits) + self.refused

    @property
    def peak(self) -> int:
        return max((hour.engines for hour in self.hours), default=0)

    @property
    def regret(self) -> float:
        """A start so soon after an engine was taken away undoes it."""
        return 2 * self.rules.engine_grace_period

    def arrived(self, at: float) -> None:
        self._hour(at).viewers += 1

    def waited(self, since: float, until: float) -> None:
        self.waits.append(until - since)
        self._hour(since).waited += 1

    def acted(self, action: Action, now: float) -> None:
        if now < self.zero:
            return
        match action:
            case Start():
                self.starts += 1
                self._drained = [at for at in self._drained if now - at <= self.regret]
                if self._drained:
                    self._drained.pop(0)
                    self.undone += 1
            case Drain(reason=reason) if reason == SCALE_DOWN:
                self._drained.append(now)
            case TakeBack() if self._drained:
                self._drained.pop()  # nothing was stopped
            case Stop():
                self.stops += 1
            case _:
                pass

    def passed(self, state: State, since: float, until: float) -> None:
        """The state stood still for so long."""
        since = max(since, self.zero)
        if since >= until:
            return
        if self._revision != state.revision:
            self._revision = state.revision
            self._free = sum(state.is_free(e, self.rules) for e in state.engines.values())
            self._playing = sum(map(len, state.playing.values()))
        engines, free = len(state.engines), self._free
        self.engine_seconds += engines * (until - since)
        self.stream_seconds += self._playing * (until - since)
        while since < until:
            hour = self._hour(since)
            end = min(until, self.zero + len(self.hours) * _HOUR)
            hour.engines = max(hour.engines, engines)
            hour.free = free if hour.free is None else min(hour.free, free)
            hour.free_seconds += free * (end - since)
            hour.seconds += end - since
            since = end

    def _hour(self, at: float) -> Hour:
        number = int((at - self.zero) // _HOUR)
        while len(self.hours) <= number:
            self.hours.append(Hour())
        return self.hours[number]


def text(tally: Tally) -> str:
    share = tally.stream_seconds / tally.engine_seconds if tally.engine_seconds else 0.0
    rules = tally.rules
    lines = [
        f"MIN_REPLICAS={rules.min_replicas} MAX_REPLICAS={rules.max_replicas}"
        f" ENGINE_GRACE_PERIOD_S={rules.engine_grace_period:g}"
        f" MAX_CONCURRENT_PROVISIONS={rules.max_concurrent_provisions}"
        f" MIN_PROVISION_INTERVAL_S={rules.min_provision_interval:g}",
        "",
        f"viewers             {tally.viewers}",
        f"  served at once    {tally.at_once}, from a free engine",
        f"  waited            {len(tally.waits)}{_waits(tally.waits)}",
        f"  refused           {tally.refused}",
        f"  failed            {tally.failed}, their engine was not ready in time",
        f"  shared            {tally.shared}, on an engine where somebody was",
        f"engine starts       {tally.starts}",
        f"engine stops        {tally.stops}, {tally.undone} undone by a start within"
        f" {tally.regret:g} s",
        f"engines at most     {tally.peak}",
        f"engine-hours        {tally.engine_seconds / _HOUR:.1f}, streams played in {share:.0%}",
        "",
        "hour  viewers  waited  engines at most  free at least  free on average",
    ]
    for number, hour in enumerate(tally.hours):
        average = hour.free_seconds / hour.seconds if hour.seconds else 0.0
        lines.append(
            f"{number:4}  {hour.viewers:7}  {hour.waited:6}  {hour.engines:15}"
            f"  {hour.free or 0:13}  {average:15.1f}"
        )
    return "\n".join(lines)


def _waits(waits: Sequence[float]) -> str:
    if not waits:
        return ""
    middle, most = percentile(waits, 0.5), percentile(waits, 0.95)
    return f"; {middle:.1f} s in the middle, {most:.1f} s for 95 %, {max(waits):.1f} s at most"


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]

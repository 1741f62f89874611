"""What came out of a simulated day, counted and told."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from acekeeper.core.actions import Action, Drain, Start, Stop, TakeBack
from acekeeper.core.gateway.actions import Open
from acekeeper.core.rules import Rules
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

    @property
    def free_on_average(self) -> float:
        return self.free_seconds / self.seconds if self.seconds else 0.0


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
    stalled: int = 0  # watched when the VPN of their engine lost its tunnel
    starts: int = 0
    stops: int = 0
    undone: int = 0
    engine_seconds: float = 0.0
    stream_seconds: float = 0.0
    hours: list[Hour] = field(default_factory=list)
    _drained: list[float] = field(default_factory=list)
    _asked: dict[str, float] = field(default_factory=dict)  # when an engine was, for a play
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

    def served(self, play: str, since: float) -> None:
        """It waited until its engine was asked: how long an engine takes to open a channel says
        nothing about the pool."""
        asked = self._asked.pop(play)
        if asked > since:
            self.waited(since, asked)
        else:
            self.at_once += 1

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
            case Open(request=play):
                self._asked[play] = now
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


def text(clients: Tally, players: Tally) -> str:
    """The same day by clients of the API, and by players of the gateway."""
    rules = clients.rules
    cells: list[tuple[str, Callable[[Tally], object]]] = [
        ("viewers", lambda tally: tally.viewers),
        ("  from a free engine at once", lambda tally: tally.at_once),
        ("  waited", lambda tally: len(tally.waits)),
        ("    in the middle", lambda tally: _waited(tally, 0.5)),
        ("    95 % of them at most", lambda tally: _waited(tally, 0.95)),
        ("    at most", lambda tally: _waited(tally, 1.0)),
        ("  refused", lambda tally: tally.refused),
        ("  failed: their engine was late", lambda tally: tally.failed),
        ("  shared an engine", lambda tally: tally.shared),
        *([("  lost their tunnel", lambda tally: tally.stalled)] if rules.vpns else []),
        ("engine starts", lambda tally: tally.starts),
        ("engine stops", lambda tally: tally.stops),
        (f"  undone by a start in {clients.regret:g} s", lambda tally: tally.undone),
        ("engines at most", lambda tally: tally.peak),
        ("engine-hours", lambda tally: f"{tally.engine_seconds / _HOUR:.1f}"),
        ("  with streams", _in_use),
    ]
    lines = [
        f"MIN_REPLICAS={rules.min_replicas} MAX_REPLICAS={rules.max_replicas}"
        f" ENGINE_GRACE_PERIOD_S={rules.engine_grace_period:g}"
        f" MAX_CONCURRENT_PROVISIONS={rules.max_concurrent_provisions}"
        f" MIN_PROVISION_INTERVAL_S={rules.min_provision_interval:g}"
        + (f" VPNS={','.join(rules.vpns)} VPN_SLOTS={rules.vpn_slots}" if rules.vpns else ""),
        "",
        f"{'':32}{'API':>9}{'gateway':>9}",
        *(f"{name:32}{cell(clients)!s:>9}{cell(players)!s:>9}" for name, cell in cells),
        "",
        "               waited      engines at most   free at least    free on average",
        "hour  viewers  API  gateway  API  gateway    API  gateway      API  gateway",
    ]
    for number, (one, other) in enumerate(zip_longest(clients.hours, players.hours)):
        lines.append(_hour(number, one or Hour(), other or Hour()))
    return "\n".join(lines)


def _hour(number: int, clients: Hour, players: Hour) -> str:
    return (
        f"{number:4}  {clients.viewers:7}  {clients.waited:3}  {players.waited:7}"
        f"  {clients.engines:3}  {players.engines:7}"
        f"    {clients.free or 0:3}  {players.free or 0:7}"
        f"      {clients.free_on_average:3.1f}  {players.free_on_average:7.1f}"
    )


def _waited(tally: Tally, share: float) -> str:
    return f"{percentile(tally.waits, share):.1f} s" if tally.waits else "-"


def _in_use(tally: Tally) -> str:
    return f"{tally.stream_seconds / tally.engine_seconds if tally.engine_seconds else 0:.0%}"


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]

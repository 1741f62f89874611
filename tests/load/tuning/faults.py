"""What becomes of faults under each choice, by the rules on a clock that jumps: engines that hang,
sessions that are lost, starts that fail."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from acekeeper.core.facts import EngineSilent
from acekeeper.core.model import Phase
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules

from ...core.world import PROBE_TIMEOUT, Script, World, pool, slot

FAILS_AT_ONCE = Script(fails="the image is broken")
NEVER_READY = Script(ready_after=math.inf)


def never_created(limit: float) -> Script:
    """Whoever runs the engines does not come back, until PROVISION_TIMEOUT_S ends it."""
    return Script(fails="PROVISION_TIMEOUT_S", named_after=limit)


_STEP_S = 0.1
_LONGEST_S = 7200.0


class Spread(NamedTuple):
    """Of seconds, over all the moments at which it may happen."""

    least: float
    mean: float
    most: float


class Hang(NamedTuple):
    """Seconds from a hang of a free engine to its absence from the list, to as many free ones as
    before, and to the end of its process."""

    unlisted: Spread
    made_up: Spread
    gone: Spread


def hang(rules: Rules, interval: float) -> Hang:
    """Every delay grows with the time to the next pass alone, so that three moments tell all."""
    seen = [_hang(rules, interval, interval * share) for share in (0.0, 0.5, 1.0)]
    return Hang(*(Spread(*each) for each in zip(*seen, strict=True)))


def _hang(rules: Rules, interval: float, first_pass: float) -> tuple[float, float, float]:
    world = pool(rules.min_replicas, rules)
    world.outside[slot(0)].hung = True
    since = world.now.mono
    _every(world, interval, first_pass, partial(_health_pass, world))
    _until(world, lambda: slot(0) not in _free(world))
    unlisted = world.now.mono
    _until(world, lambda: len(_free(world)) == rules.min_replicas)
    made_up = world.now.mono
    _until(world, lambda: slot(0) in world.state.vacated)
    return unlisted - since, made_up - since, world.now.mono - since


def _health_pass(world: World) -> None:
    for engine in list(world.state.engines.values()):
        if engine.phase is Phase.RUNNING and not world.answers_now(*engine.ref):
            silent = EngineSilent(*engine.ref, "timeout")
            world.later(PROBE_TIMEOUT, partial(world.tell, silent))


def lost_end(rules: Rules, interval: float) -> Spread:
    """Seconds from the end of a stream whose event was lost to the engine being free again."""
    seen = [_lost_end(rules, interval, interval * share) for share in (0.0, 0.5, 1.0)]
    return Spread(*seen)


def _lost_end(rules: Rules, interval: float, first_pass: float) -> float:
    world = pool(rules.min_replicas, rules)
    world.play(slot(0))
    world.run(600)
    del world.outside[slot(0)].streams["s"]
    since = world.now.mono
    _every(world, interval, first_pass, world.sweep_streams)
    _until(world, lambda: not world.state.playing)
    ended = world.state.streams["s"].ended
    assert ended is not None
    return ended.mono - since


class Broken(NamedTuple):
    """`opens`: seconds to the breaker; `starts` that failed while the cause lasted; `late`: seconds
    from its end to an engine that is free again."""

    opens: float
    starts: int
    late: float


def broken(rules: Rules, how: Script, lasts: float) -> Broken:
    """All engines are taken at the moment when starts begin to fail."""
    world = pool(rules.min_replicas, rules)
    since = world.now.mono
    world.script = replace(how)
    for number in range(rules.min_replicas):
        world.play(slot(number), f"s{number}")
    _until(world, lambda: world.state.breaker.opened is not None or world.now.mono - since >= lasts)
    opened = world.state.breaker.opened
    world.run(max(0.0, since + lasts - world.now.mono))
    starts = len(world.starts())
    world.script = Script()
    mended = world.now.mono
    _until(world, lambda: bool(_free(world)))
    return Broken(opened.mono - since if opened else math.inf, starts, world.now.mono - mended)


def _free(world: World) -> list[Slot]:
    engines = world.state.engines.values()
    return [e.slot for e in engines if world.state.is_free(e, world.rules)]


def _every(world: World, seconds: float, first: float, what: Callable[[], None]) -> None:
    def again() -> None:
        what()
        world.later(seconds, again)

    world.later(first, again)


def _until(world: World, there: Callable[[], bool]) -> None:
    end = world.now.mono + _LONGEST_S
    while not there():
        assert world.now.mono < end, "it never happens"
        world.run(_STEP_S)

"""Engines that get nothing from the network. They are not to blame, and none is replaced for it. If
the way out of the host is lost, or not the one they have, that is the reason, and told as such."""

from collections.abc import Iterable

from msgspec.structs import replace

from acekeeper.core import network
from acekeeper.core.doubt import Hunger
from acekeeper.core.model import Engine, Now, Sample
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


def sampled(
    state: State, rules: Rules, engine: Engine, samples: Iterable[Sample], now: Now
) -> None:
    """What a look found. A stream that could not be asked about says nothing."""
    told = list(samples)
    if not told:
        return
    if any(s.peers > 0 or s.speed_down > 0 for s in told):
        over(state, engine, now)
        return
    if network.is_to_blame(state, engine):
        state.put(replace(engine, hunger=None))
        return
    hunger = engine.hunger or Hunger(now.mono)
    seconds = now.mono - hunger.since
    if seconds >= rules.starving_after and not hunger.told:
        hunger = replace(hunger, told=True)
        state.tell("engine_starving", engine.slot, seconds=round(seconds, 3), streams=len(told))
    state.put(replace(engine, hunger=hunger))


def over(state: State, engine: Engine, now: Now) -> None:
    """Something comes again, or nobody is left who waits for it."""
    if engine.hunger is None:
        return
    if engine.hunger.told:
        state.tell(
            "engine_fed",
            engine.slot,
            seconds=round(now.mono - engine.hunger.since, 3),
            streams=len(state.playing.get(engine.slot, ())),
        )
    state.put(replace(engine, hunger=None))

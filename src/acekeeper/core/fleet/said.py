"""What this host says of itself."""

from collections.abc import Mapping

from acekeeper.core.addresses import absent
from acekeeper.core.fleet.model import Digest, Doing, SharedEngine
from acekeeper.core.model import Engine, Health, Now, Phase
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import Supply


def digest(state: State, rules: Rules, now: Now) -> Digest:
    """Of what players of other hosts can have, who come in at the fleet's address of this one."""
    supply, is_to_be_empty = Supply(state, rules, now), state.maintenance is not None
    is_reached = rules.fleet_address not in absent(state, rules)
    free = supply.count_free(lambda engine: engine.is_at(rules.fleet_address))
    return Digest(
        version=state.run.version if state.run else "",
        engines=len(state.engines),
        free=free if is_reached and not is_to_be_empty else 0,
        room=supply.room() if is_reached else 0,
        streams=sum(map(len, state.playing.values())),
        maintenance=is_to_be_empty,
    )


def engines(state: State, rules: Rules) -> Mapping[str, SharedEngine]:
    """By id."""
    shared = (_shared(state, rules, engine) for engine in state.engines.values())
    return {engine.id: engine for engine in shared}


def _shared(state: State, rules: Rules, engine: Engine) -> SharedEngine:
    slot, streams = engine.slot, len(state.playing.get(engine.slot, ()))
    return SharedEngine(slot.container_name, slot.port, _doing(state, rules, engine), streams)


def _doing(state: State, rules: Rules, engine: Engine) -> Doing:
    if engine.phase is Phase.STOPPING:
        return Doing.STOPPING
    if engine.drain is not None:
        return Doing.DRAINING
    if engine.phase is Phase.STARTING or not engine.container_id:
        return Doing.STARTING
    if engine.health is not Health.HEALTHY:
        return Doing.UNWELL
    return Doing.FREE if state.is_free(engine, rules) else Doing.TAKEN

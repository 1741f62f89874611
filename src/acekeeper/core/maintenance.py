"""A host that is to become empty: nothing begins there, and what plays is waited for."""

from collections.abc import Iterable, Iterator

from acekeeper.core.actions import Drain, TakeBack
from acekeeper.core.model import Engine, Now
from acekeeper.core.state import State

MAINTENANCE = "maintenance"
WORDS = "this host is in maintenance and takes no new viewers"


def begin(state: State, now: Now) -> None:
    if state.maintenance is None:
        state.put_maintenance(now)
        state.tell("maintenance_began", engines=len(state.engines), streams=_streams(state))


def end(state: State, now: Now) -> None:
    since = state.maintenance
    if since is not None:
        state.put_maintenance(None)
        state.tell(
            "maintenance_ended",
            engines=len(state.engines),
            streams=_streams(state),
            seconds=round(now.mono - since.mono, 3),
        )


def steps(state: State, uneasy: Iterable[Engine]) -> Iterator[Drain | TakeBack]:
    """Drains every engine, those that are found or become ready later too; and once it is over,
    takes those drains back, whatever plays there."""
    if state.maintenance is None:
        yield from (TakeBack(*e.ref) for e in uneasy if is_left_of_it(state, e))
        return
    for engine in state.engines.values():
        if engine.incarnation and engine.drain is None and engine.stop is None:
            yield Drain(*engine.ref, MAINTENANCE)


def is_left_of_it(state: State, engine: Engine) -> bool:
    """Whether it drains for a maintenance that is over."""
    reason = engine.drain.reason if engine.drain else ""
    return state.maintenance is None and reason == MAINTENANCE and engine.stop is None


def _streams(state: State) -> int:
    return sum(map(len, state.playing.values()))

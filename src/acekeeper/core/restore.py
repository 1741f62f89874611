"""The state as the last run left it on disk."""

from collections.abc import Iterable

from msgspec.structs import replace

from acekeeper.core import lifecycle, playback
from acekeeper.core.build import Build
from acekeeper.core.changes import Changes
from acekeeper.core.gateway.model import Hold, Reader, Ref
from acekeeper.core.health import UNHEALTHY
from acekeeper.core.model import Breaker, EarlyEnd, Engine, Now, Stream
from acekeeper.core.rules import Rules
from acekeeper.core.runs import Run
from acekeeper.core.state import State


def restore(
    rules: Rules,
    now: Now,
    engines: Iterable[Engine] = (),
    streams: Iterable[Stream] = (),
    holds: Iterable[tuple[Ref, Hold]] = (),
    early_ends: Iterable[tuple[str, EarlyEnd]] = (),
    breaker: Breaker | None = None,
    boot: str = "",
    at_least: int = 0,
    build: Build | None = None,
    run: Run | None = None,
    maintenance: Now | None = None,
    current_boot: str = "",
) -> State:
    """Streams and early ends come oldest first. What the last run had under way is not known
    any more: a start without a name is found again by it, a stop is asked for again, and an
    answer that was not given claims nothing. If `boot` is not the host's current one, all that
    ran is gone; that is still to be stored and told, with the first fact."""
    state = State(
        breaker=breaker or Breaker(),
        boot=boot,
        at_least=at_least,
        build=build or Build(),
        run=run,
        maintenance=maintenance,
    )
    for engine in engines:
        if not engine.incarnation:
            continue
        state.put(
            replace(
                engine,
                settled=_settled(engine, state.breaker, rules, now),
                probe=replace(engine.probe, under_way=False),
                claim=engine.claim if engine.handed else None,
                drain=replace(engine.drain, looking=False) if engine.drain else None,
                stop=replace(engine.stop, retry=now) if engine.stop else None,
                against=None,
                cleared=None,
                hunger=None,
            )
        )
    for stream in streams:
        state.put_stream(stream)
        if stream.gateway is not None and stream.ended is None:
            came = now.wall - stream.started.wall >= rules.came_within
            player = stream.gateway.player
            reader = Reader(now.mono, last=now.mono, came=came, player=player)
            state.put_reader(stream.id, reader)
    gone = _put_holds(state, holds, now)
    playback.recall(state, rules, now)
    state.early_ends.update(early_ends)
    drains = [e.drain for e in state.engines.values() if e.drain]
    state.replaced = tuple(sorted(d.since for d in drains if d.reason == UNHEALTHY))
    state.changes = Changes(holds=dict.fromkeys(gone, ()))
    opened = state.breaker.opened
    if opened is not None and opened.wall > now.wall:
        # The clock was set back. Stored anew, or every restart would begin the wait again.
        state.put_breaker(replace(state.breaker, opened=now))
    if boot and current_boot not in ("", boot):
        lifecycle.rebooted(state, rules, current_boot, now)
    return state


def _put_holds(state: State, holds: Iterable[tuple[Ref, Hold]], now: Now) -> set[Ref]:
    """Whatever was under way there: it is stopped, at once. Not on an engine that is gone: those
    are returned."""
    found: dict[Ref, list[Hold]] = {}
    for ref, hold in holds:
        again = replace(hold, since=now, opening="", stopping=False, retry=now.mono)
        found.setdefault(ref, []).append(again)
    gone = {ref for ref in found if state.current(*ref) is None}
    for ref in found.keys() - gone:
        state.put_holds(ref, tuple(found[ref]))
    return gone


def _settled(engine: Engine, breaker: Breaker, rules: Rules, now: Now) -> bool:
    """Whether it outlived its first seconds, and that was counted: not if we were away when it did
    and no start has failed since."""
    if engine.ready is None:
        return False
    due = engine.ready.mono + rules.early_death
    failed = breaker.last_failure
    return due <= now.mono and (failed is None or due <= failed.mono)

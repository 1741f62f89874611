"""The state as the last run left it on disk."""

from collections.abc import Iterable
from dataclasses import replace

from acekeeper.core.model import Breaker, EarlyEnd, Engine, Now, Phase, Rules, State, Stream


def restore(
    rules: Rules,
    now: Now,
    engines: Iterable[Engine] = (),
    streams: Iterable[Stream] = (),
    early_ends: Iterable[tuple[str, EarlyEnd]] = (),
    breaker: Breaker | None = None,
    boot: str = "",
    at_least: int = 0,
) -> State:
    """Streams and early ends come oldest first. What the last run had under way is not known
    any more: a start without a name is found again by it, a stop is asked for again, and an
    answer that was not given claims nothing."""
    state = State(breaker=breaker or Breaker(), boot=boot, at_least=at_least)
    for engine in engines:
        if not engine.start:
            continue
        settled = engine.ready is not None and now.mono - engine.ready.mono >= rules.early_death
        state.put(
            replace(
                engine,
                settled=settled,
                asking=False,
                looking=False,
                claim=engine.claim if engine.claim and engine.claim.until else None,
                stop_retry=now if engine.phase is Phase.STOPPING else None,
            )
        )
    for stream in streams:
        state.put_stream(stream)
    state.early_ends.update(early_ends)
    state.changes = type(state.changes)()
    return state

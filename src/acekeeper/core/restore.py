"""The state as the last run left it on disk."""

from collections.abc import Iterable
from dataclasses import replace

from acekeeper.core.model import Breaker, EarlyEnd, Engine, Now, Rules, State, Stream


def restore(
    rules: Rules,
    now: Now,
    engines: Iterable[Engine] = (),
    streams: Iterable[Stream] = (),
    early_ends: Iterable[tuple[str, EarlyEnd]] = (),
    breaker: Breaker | None = None,
    boot: str = "",
) -> State:
    """Streams and early ends come oldest first. What this run never promised is not kept:
    an answer that was not given claims nothing."""
    state = State(breaker=breaker or Breaker(), boot=boot)
    for engine in engines:
        settled = engine.ready is not None and now.mono - engine.ready.mono >= rules.early_death
        state.put(replace(engine, settled=settled))
    for stream in streams:
        state.put_stream(stream)
    state.early_ends.update(early_ends)
    state.changes = type(state.changes)()
    return state

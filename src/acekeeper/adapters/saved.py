"""What the last run left, as `core.restore` takes it."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from acekeeper.adapters import rows
from acekeeper.adapters.database import Contents
from acekeeper.core.build import Build
from acekeeper.core.gateway.model import Hold, Ref
from acekeeper.core.model import Breaker, EarlyEnd, Engine, Now, Stream
from acekeeper.core.runs import Run

T = TypeVar("T")


class Saved(Struct, frozen=True):
    engines: Sequence[Engine] = ()
    streams: Sequence[Stream] = ()
    holds: Sequence[tuple[Ref, Hold]] = ()
    early_ends: Sequence[tuple[str, EarlyEnd]] = ()
    breaker: Breaker | None = None
    boot: str = ""
    at_least: int = 0
    build: Build | None = None
    run: Run | None = None
    maintenance: Now | None = None


def decoded(found: Contents, now: Now, tell: Callable[[str], None]) -> Saved:
    """A row that says what we do not know (a newer version's, say) is told, and not worth the
    others."""

    def every(decode: Callable[[rows.Row, Now], T], encoded: Iterable[rows.Row]) -> list[T]:
        values = []
        for row in encoded:
            try:
                values.append(decode(row, now))
            except (ValueError, TypeError) as error:
                tell(f"a row of the database is left out: {error}")
        return values

    kept = {row[0]: row for row in found.kept}

    def the(name: str, decode: Callable[[rows.Row, Now], T]) -> T | None:
        row = kept.get(name)
        return next(iter(every(decode, [row] if row else ())), None)

    return Saved(
        engines=every(rows.read_engine, found.engines),
        streams=every(rows.read_stream, [*found.ended, *found.started]),
        holds=every(rows.read_hold, found.holds),
        early_ends=every(rows.read_early_end, found.early_ends),
        breaker=the("breaker", rows.read_breaker),
        boot=kept["boot"][1] if "boot" in kept else "",
        at_least=the("at_least", rows.read_at_least) or 0,
        build=the("build", rows.read_build),
        run=the("run", rows.read_run),
        maintenance=the("maintenance", rows.read_maintenance),
    )

"""Whether the memory of the service stays flat: `make bench-hour`, the load of `make bench` again
and again for an hour."""

import time
from collections.abc import Callable, Sequence
from statistics import median

from .bench import disk, head, loaded, running
from .measuring import row, say
from .process import Memory, memory_mb
from .scale import Scale

_LASTS_S, _EVERY_S = 3600.0, 180.0
_MAY_GROW = 1.02


def measure(
    load: Callable[[], object],
    look: Callable[[], Memory],
    clock: Callable[[], float],
    lasts: float,
    every: float,
) -> list[float]:
    """The RSS in MB, as it was after a load every so many seconds."""
    row("minutes", "RSS MB", "PSS MB")
    began, rss = clock(), list[float]()
    while (since := clock() - began) < lasts:
        load()
        if since >= every * len(rss):
            found = look()
            rss.append(found["RSS"])
            row(f"{(clock() - began) / 60:.0f}", f"{found['RSS']:.1f}", f"{found['PSS']:.1f}")
    return rss


def verdict(rss: Sequence[float]) -> str:
    """The first third warms up."""
    third = max(1, len(rss) // 3)
    before, last = median(rss[-2 * third : -third] or rss), median(rss[-third:])
    is_flat = last <= _MAY_GROW * before
    return (
        f"{'flat' if is_flat else 'NOT FLAT'}: the middle RSS of the last third of the time is"
        f" {100 * (last / before - 1):+.1f} % of that of the third before it (flat: up to"
        f" {100 * (_MAY_GROW - 1):+.0f} %)"
    )


def main() -> None:
    scale = Scale(rounds=2)
    with disk() as directory, running(scale, directory) as bench:
        say("\n".join(head(scale, directory)))
        rss = measure(
            lambda: loaded(bench), lambda: memory_mb(bench.pid), time.monotonic, _LASTS_S, _EVERY_S
        )
        say(verdict(rss))


if __name__ == "__main__":
    main()

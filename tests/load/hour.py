"""Whether the memory of the service stays flat: `make bench-hour`, the load of `make bench` again
and again for an hour.

The table also counts the ends of streams that the service remembers and no longer lists: the newest
10,000, for an hour at most.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import median
from typing import NamedTuple

from .bench import disk, head, loaded, running
from .measuring import row, say
from .process import memory_mb
from .scale import Bench, Scale

_LASTS_S, _EVERY_S = 3600.0, 180.0
_MAY_GROW = 1.02


class Look(NamedTuple):
    rss_mb: float
    pss_mb: float
    ends: int  # that are remembered


def look(bench: Bench) -> Look:
    found = memory_mb(bench.pid)
    uri = f"{(bench.service.state / 'acekeeper.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=60)) as db:
        (ends,) = db.execute("SELECT count(*) FROM early_ends").fetchone()
    return Look(found["RSS"], found["PSS"], ends)


def measure(
    load: Callable[[], object],
    look: Callable[[], Look],
    clock: Callable[[], float],
    lasts: float,
    every: float,
) -> list[Look]:
    """What was seen after a load every so many seconds."""
    row("minutes", "RSS MB", "PSS MB", "ends it keeps")
    began, looks = clock(), list[Look]()
    while (since := clock() - began) < lasts:
        load()
        if since >= every * len(looks):
            looks.append(look())
            rss, pss, ends = looks[-1]
            row(f"{(clock() - began) / 60:.0f}", f"{rss:.1f}", f"{pss:.1f}", f"{ends:,}")
    return looks


def verdict(looks: Sequence[Look]) -> str:
    """The first third warms up."""
    third = max(1, len(looks) // 3)
    before, last = looks[-2 * third : -third] or looks, looks[-third:]
    was, is_now = (median(each.rss_mb for each in part) for part in (before, last))
    return (
        f"{'flat' if is_now <= _MAY_GROW * was else 'NOT FLAT'}: the middle RSS of the last third"
        f" of the time is {100 * (is_now / was - 1):+.1f} % of that of the third before it (flat:"
        f" up to {100 * (_MAY_GROW - 1):+.0f} %){_by_ends(before[-1], last[-1])}"
    )


def _by_ends(before: Look, last: Look) -> str:
    if last.ends <= before.ends:
        return ""
    more = last.ends - before.ends
    each = 2**20 * (last.rss_mb - before.rss_mb) / more
    return f", {each:.0f} bytes for each of {more:,} more ends that it remembers"


def main() -> None:
    scale = Scale(rounds=2)
    with disk() as directory, running(scale, directory) as bench:
        say("\n".join(head(scale, directory)))
        seen = measure(
            lambda: loaded(bench), lambda: look(bench), time.monotonic, _LASTS_S, _EVERY_S
        )
        say(verdict(seen))


if __name__ == "__main__":
    main()

"""docs/tuning.md says what the benchmark finds, and what the benchmark finds is so."""

import random
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

from acekeeper.profiles import PROFILES

from .tuning import faults, outages
from .tuning.choices import DEFAULT, WHOLE, alone, changed
from .tuning.days import Outcome
from .tuning.tables import TABLES, Table

PAGE = (Path(__file__).parents[2] / "docs/tuning.md").read_text("utf-8")
WRITTEN = re.findall(r"<!-- generated: make docs -->\n(.*?)<!-- end -->\n", PAGE, re.DOTALL)


@pytest.mark.parametrize(
    ("table", "written"),
    [pytest.param(t, w, id=t.columns[1]) for t, w in zip(TABLES, WRITTEN, strict=True)],
)
def test_the_page_says_what_is_found(table: Table, written: str) -> None:
    """Of those that take long the first row: the rules and the days are the same for all."""
    assert written.startswith(table.head), "run `make docs`"
    rows = written.removeprefix(table.head).splitlines(keepends=True)
    assert [row.split(" | ")[0] for row in rows] == [f"| {c.name}" for c in table.choices]
    for choice, row in zip(table.choices if table.quick else table.choices[:1], rows, strict=False):
        assert table.row(choice) == row, "run `make docs`"


def test_the_page_names_every_value_of_a_profile() -> None:
    assert [choice.name for choice in WHOLE[1:]] == [name for name in PROFILES if name != "none"]
    for name in changed():
        assert f"`{name}" in PAGE, name


def test_alone_a_value_differs_from_the_default_in_nothing_else() -> None:
    (backoff,) = alone("RETRY_BACKOFF_S")  # high-availability has the default's
    assert backoff.settings().retry_backoff_s == 3
    changed_to, default = vars(backoff.settings()), vars(DEFAULT.settings())
    differs = {name for name, value in changed_to.items() if value != default[name]}
    assert differs == {"retry_backoff_s", "sources"}


def test_who_did_not_wait_counts_among_those_who_waited_no_longer() -> None:
    assert Outcome(viewers=100, waits=[7.5] * 5).most_waited == 0
    assert Outcome(viewers=100, waits=[7.5] * 6).most_waited == 7.5
    assert Outcome(viewers=100, waits=[7.5] * 5, refused=20).most_waited == 7.5


def test_a_hang_is_known_a_probe_after_the_next_pass() -> None:
    least, mean, most = faults.hang(DEFAULT.rules(), 10).unlisted
    assert (least, mean, most) == pytest.approx((5, 10, 15), abs=0.11)


@pytest.mark.parametrize("limit", [120.0, 240.0])
def test_a_creation_that_hangs_blocks_until_its_limit(limit: float) -> None:
    found = faults.broken(DEFAULT.rules(), faults.never_created(limit), 1)
    assert found.starts == 1
    assert limit < found.late < limit + 10


def test_the_attempts_of_a_call_are_those_of_the_real_policy() -> None:
    before, state = time.monotonic(), random.getstate()
    for made in outages.attempts(3, 2, 3600):
        pauses = [later - earlier for earlier, later in pairwise(made)]
        assert len(pauses) == 3
        for pause, first in zip(pauses, (2, 4, 8), strict=True):
            assert first <= pause <= first + 2
    assert all(made[-1] < 12 for made in outages.attempts(100, 2, 12))
    assert time.monotonic() - before < 600  # none of it by the true clock
    assert random.getstate() == state


def test_a_call_that_may_have_failed_is_not_late() -> None:
    assert outages.late(3, 2, 3600, [30]) is None
    assert outages.late(3, 0, 3600, [0]) == 0

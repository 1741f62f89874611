"""Every part of the benchmark runs, if only for moments. No claim on speed is made."""

from pathlib import Path

import pytest

from . import bench_fleet, events
from .bench import measure, running
from .hour import Look, look, verdict
from .hour import measure as hour
from .scale import Scale
from .table import BEGIN, END, Aim, Group, Row, number, render, shown

TINY = Scale(
    engines=2,
    rounds=1,
    turn_s=0.05,
    trouble_s=0.3,
    clients=3,
    batches=(4, 6),
    plays=2,
    sweeps=1,
    grown_engines=(2, 4, 6),
    grown_streams=(2, 8),
    facts=2,
)
AIMS = 27


def test_every_row_is_measured(tmp_path: Path) -> None:
    groups = measure(TINY, tmp_path)
    rows = [row for group in groups for row in group.rows]
    assert sum(row.aim is not None for row in rows) == AIMS
    assert all(row.floor > 0 and row.ours > 0 for row in rows), rows
    assert len({(group.name, row.what) for group in groups for row in group.rows}) == len(rows)
    assert len(render(["a machine"], groups).splitlines()) == len(rows) + len(groups) + 5


def test_what_is_measured_once_can_be_measured_again(tmp_path: Path) -> None:
    with running(TINY, tmp_path) as bench:
        assert len(events.measure(bench)) == len(events.measure(bench))
        seen = look(bench)
    assert seen.rss_mb >= seen.pss_mb > 10
    assert seen.ends == 0


@pytest.mark.parametrize(
    ("aim", "ours", "met", "text"),
    [
        (Aim(15), 15, True, "ours <= 15"),
        (Aim(15), 15.1, False, "ours <= 15"),
        (Aim(5_000, at_least=True), 4_999, False, "ours >= 5,000"),
        (Aim(5_000, at_least=True), 5_000, True, "ours >= 5,000"),
        (Aim(1.8, "ratio"), 18, True, "ratio <= 1.8"),
        (Aim(1.8, "ratio"), 19, False, "ratio <= 1.8"),
        (Aim(0.8, "ratio", at_least=True), 7.9, False, "ratio >= 0.8"),
        (Aim(3, "above"), 13, True, "above <= 3"),
        (Aim(3, "above"), 13.1, False, "above <= 3"),
    ],
)
def test_an_aim_is_met_or_not(aim: Aim, ours: float, met: bool, text: str) -> None:
    assert aim.met(10, ours) is met
    assert aim.text == text


def test_the_table_says_what_it_compares_and_what_fell_short() -> None:
    reads = [Row("GET /engines", 30, 145, Aim(1.8, "ratio")), Row("GET /streams", 32, 40)]
    events = [Row("1 client", 3000, 2500, Aim(0.8, "ratio", at_least=True))]
    groups = [Group("Reads", "a bare function", reads), Group("Events", "a commit", events)]
    assert render(["a machine"], groups, ["not quiet"]) == (
        "a machine\n"
        "WARNING: not quiet\n"
        "\n"
        "                     floor      ours     ratio  aim              met\n"
        "Reads (floor: a bare function)\n"
        "  GET /engines        30.0       145      4.83  ratio <= 1.8     NO\n"
        "  GET /streams        32.0      40.0      1.25\n"
        "Events (floor: a commit)\n"
        "  1 client           3,000     2,500      0.83  ratio >= 0.8     yes\n"
        "\n"
        "1 of 2 aims met"
    )


def test_the_page_shows_the_newest_table() -> None:
    page = (Path(__file__).parents[2] / "docs/performance.md").read_text("utf-8")
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    newest = shown(shown(page, "an older one"), "a table")
    assert newest == f"{head}{BEGIN}\n```\na table\n```\n\n{END}{tail}"


def test_a_number_has_three_digits() -> None:
    written = [number(value) for value in (0.123, 9.994, 9.996, 99.94, 99.96, 1234.5)]
    assert written == ["0.12", "9.99", "10.0", "99.9", "100", "1,234"]


def test_an_hour_looks_at_the_memory_now_and_then() -> None:
    now, loads = 1000.0, 0

    def load() -> None:
        nonlocal now, loads
        now, loads = now + 100, loads + 1

    seen = hour(load, lambda: Look(loads, 0, 0), lambda: now, lasts=1000, every=180)
    assert [each.rss_mb for each in seen] == [1, 3, 5, 7, 9, 10]
    assert loads == 10


@pytest.mark.parametrize(
    ("rss", "said"),
    [
        ([60, 90, 100, 100, 101, 101], "flat"),
        ([60, 90, 100, 100, 103, 103], "NOT FLAT"),
        ([90], "flat"),
    ],
)
def test_memory_is_flat_that_grows_no_more_once_it_is_warm(rss: list[float], said: str) -> None:
    assert verdict([Look(mb, 0, 0) for mb in rss]).partition(":")[0] == said


def test_growth_is_told_by_the_ends_that_are_remembered() -> None:
    looks = [Look(80, 0, 0), Look(90, 0, 20_000), Look(100, 0, 52_768)]
    assert verdict(looks).endswith("320 bytes for each of 32,768 more ends that it remembers")


def test_a_fleet_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    bench_fleet.main(fleets=(2,), window=0.1, reads=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if not line.startswith(" ")] == [
        "no fleet",
        "2 hosts x 50 engines",
    ]

"""The picture of the dashboard shows what Prometheus answers."""

import json
from collections.abc import Sequence
from html import unescape
from typing import Any

import pytest

from .chart import Line, Span, chart
from .drawing import page
from .rules import FILES
from .units import said, ticks

DASHBOARD: Any = json.loads((FILES / "dashboard.json").read_text("utf-8"))
SPAN = Span(0, 120, 60)
LABELS = {"instance": "a<b", "engine": "engine-1", "health_status": "unhealthy"}


def test_every_panel_and_legend_is_in_it() -> None:
    asked = []

    def ask(query: str, span: Span) -> Sequence[Any]:
        asked.append(query)
        return [{"metric": LABELS, "values": [[at, "NaN" if at else "7"] for at in span.times]}]

    drawn = unescape(page(DASHBOARD, ask, SPAN, "1m"))
    assert all(f"{panel['title']}</h" in drawn for panel in DASHBOARD["panels"])
    assert len(asked) == sum(len(panel.get("targets", ())) for panel in DASHBOARD["panels"])
    assert not [query for query in asked if "$" in query]
    assert "unhealthy a<b" in drawn
    assert "{{" not in drawn
    assert "No data" not in drawn


def test_what_finds_nothing_is_told() -> None:
    drawn = page(DASHBOARD, lambda *_: [], SPAN, "1m")
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert drawn.count("No data") == len(panels)


def test_lines_stand_on_each_other_but_for_a_limit_and_break_where_nothing_is() -> None:
    ten = [(0.0, 10.0), (60.0, 10.0), (120.0, 10.0)]
    lines = [
        Line("one", "#1", False, ten),
        Line("two", "#2", False, ten),
        Line("limit", "#3", True, ten[::2]),
    ]
    stacked, plain = (chart(lines, "short", on, SPAN, 300) for on in (True, False))
    assert ">20</text>" in stacked
    assert ">20</text>" not in plain
    assert (stacked.count('class="area"'), stacked.count('class="limit"')) == (2, 2)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (0.00042, "s", "420 µs"),
        (90, "s", "1.5 min"),
        (475_000, "Bps", "475 kB/s"),
        (3 * 2**30, "bytes", "3 GiB"),
        (0.425, "percentunit", "42.5 %"),
        (0.05, "ops", "0.05 ops/s"),
        (float("nan"), "short", "-"),
    ],
)
def test_numbers_are_said_in_their_unit(value: float, unit: str, text: str) -> None:
    assert said(value, unit) == text


@pytest.mark.parametrize(("highest", "last"), [(0, 1), (3, 3), (14, 15), (0.0012, 0.0015)])
def test_an_axis_ends_at_a_round_number(highest: float, last: float) -> None:
    assert ticks(highest, "short")[-1] == pytest.approx(last)

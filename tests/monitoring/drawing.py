"""Panels of the dashboard drawn from a Prometheus, in their places: no Grafana is needed."""

import math
import re
from collections.abc import Callable, Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from string import Template
from typing import Any

from .chart import Line, Span, chart
from .units import said

PAGE = Template(Path(__file__).with_name("drawing.html").read_text("utf-8"))
_WIDTH, _GAP = 1336, 8  # pixels; of 24 columns
_LEGEND = 4  # lines of it, as Grafana has room for before one scrolls
_NAMED = {"green": "#2f7d4f", "red": "#c4423a", "orange": "#d98a00", "purple": "#7a56b0",
          "text": "#5b6570"}  # fmt: skip
_PALETTE = ("#2f7d4f", "#2a6fbb", "#c98a00", "#c4423a", "#7a56b0", "#1b98a3", "#d4692a", "#7d8a1f",
            "#c2498b", "#8a5a44")  # fmt: skip

Ask = Callable[[str, Span], Sequence[Any]]  # series as Prometheus gives them for a query


def page(dashboard: Any, ask: Ask, span: Span, rate_interval: str) -> str:
    """For all hosts. What finds nothing says so, in red."""
    known = {"$instance": ".+", "$__rate_interval": rate_interval}

    def found(query: str) -> Sequence[Any]:
        for variable, value in known.items():
            query = query.replace(variable, value)
        return ask(query, span)

    drawn = [
        _row(panel) if panel["type"] == "row" else _panel(panel, _lines(panel, found), span)
        for panel in dashboard["panels"]
    ]
    return PAGE.substitute(width=_WIDTH, gap=_GAP, panels="\n".join(drawn))


def _lines(panel: Any, found: Callable[[str], Sequence[Any]]) -> list[Line]:
    overrides = panel["fieldConfig"]["overrides"]
    limits = {o["matcher"]["options"] for o in overrides if o["matcher"]["id"] == "byFrameRefID"}
    fixed = {
        o["matcher"]["options"].strip("/"): _NAMED[o["properties"][0]["value"]["fixedColor"]]
        for o in overrides
        if o["matcher"]["id"] == "byRegexp"
    }

    def colour(name: str, is_limit: bool) -> str:
        own = [colour for start, colour in fixed.items() if re.match(start, name)]
        return _NAMED["text"] if is_limit else own[0] if own else ""

    lines = []
    for target in panel["targets"]:
        is_limit = target["refId"] in limits
        for series in found(target["expr"]):
            name = _name(target["legendFormat"], series["metric"])
            points = [(float(at), float(value)) for at, value in series["values"]]
            points = [point for point in points if math.isfinite(point[1])]
            lines.append(Line(name, colour(name, is_limit), is_limit, points))
    # Those that the legend shows have colours of their own.
    others = cycle(_PALETTE)
    coloured = {
        line.name: line.colour or next(others) for line in sorted(lines, key=_highest_first)
    }
    return [line._replace(colour=coloured[line.name]) for line in lines]


def _highest_first(line: Line) -> float:
    return -line.highest if line.points else math.inf


def _name(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend)


def _row(panel: Any) -> str:
    return f"<h2>{escape(panel['title'])}</h2>"


def _panel(panel: Any, lines: list[Line], span: Span) -> str:
    at, defaults = panel["gridPos"], panel["fieldConfig"]["defaults"]
    is_stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    width = round((_WIDTH + _GAP) * at["w"] / 24 - _GAP - 2)
    return (
        f'<section style="grid-column:{at["x"] + 1}/span {at["w"]}">'
        f"<h3>{escape(panel['title'])}</h3>"
        f"{chart(lines, defaults['unit'], is_stacked, span, width)}"
        f"{_legend(lines, defaults['unit'])}</section>"
    )


def _legend(lines: list[Line], unit: str) -> str:
    """The highest on top."""
    ordered = sorted(lines, key=_highest_first)
    rows = [
        f'<tr><th><i style="background:{line.colour}"></i>{escape(line.name)}</th>'
        f"<td>{said(line.last, unit)}</td><td>{said(line.highest, unit)}</td></tr>"
        for line in ordered[:_LEGEND]
    ]
    more = len(lines) - _LEGEND
    if more > 0:
        next_one = ordered[_LEGEND]
        highest = f"≤ {said(next_one.highest, unit)}" if next_one.points else ""
        rows.append(f'<tr><th class="more">and {more} more</th><td></td><td>{highest}</td></tr>')
    return f"<table><tr><th></th><td>last</td><td>max</td></tr>{''.join(rows)}</table>"

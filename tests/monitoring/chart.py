"""Lines over time as an SVG image."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from .units import said, ticks

_HEIGHT = 124
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 8, 8, 18  # margins
_TIMES = 3

Points = list[tuple[float, float]]


class Span(NamedTuple):
    """Seconds since 1970."""

    start: float
    end: float
    step: float

    @property
    def times(self) -> list[float]:
        count = round((self.end - self.start) / self.step)
        return [self.start + n * self.step for n in range(count + 1)]


class Line(NamedTuple):
    name: str
    colour: str
    is_limit: bool  # drawn by itself where others are stacked
    points: Points

    @property
    def last(self) -> float:
        return self.points[-1][1] if self.points else math.nan

    @property
    def highest(self) -> float:
        return max((value for _, value in self.points), default=math.nan)


class _Band(NamedTuple):
    line: Line
    points: Points
    below: Points  # what it stands on, if on anything


def chart(lines: list[Line], unit: str, is_stacked: bool, span: Span, width: int) -> str:
    bands = [*_bands(lines, is_stacked, span)]
    marks = ticks(max((value for band in bands for _, value in band.points), default=0.0), unit)

    def x(at: float) -> float:
        return _LEFT + (at - span.start) / (span.end - span.start) * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / marks[-1] * (_HEIGHT - _TOP - _BOTTOM)

    def path(points: Points) -> str:
        return " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)

    drawn = [f'<svg width="{width}" height="{_HEIGHT}">']
    for mark in marks:
        drawn.append(f'<path class="grid" d="M{_LEFT},{y(mark):.1f}H{width - _RIGHT}"/>')
        drawn.append(_text(_LEFT - 5, y(mark) + 4, "end", said(mark, unit)))
    for minutes in _minutes(span):
        name = f"-{minutes} min" if minutes else "now"
        anchor = "middle" if minutes else "end"
        drawn.append(_text(x(span.end - 60 * minutes), _HEIGHT - 4, anchor, name))
    for line, points, below in bands:
        if below:
            area = path([*points, *reversed(below)])
            drawn.append(f'<path class="area" d="M{area}z" fill="{line.colour}"/>')
            continue
        kind = "limit" if line.is_limit else "line"
        for part in _unbroken(points, span.step):
            drawn.append(f'<path class="{kind}" d="M{path(part)} h0" stroke="{line.colour}"/>')
    if not any(band.points for band in bands):
        drawn.append(_text(width / 2, _HEIGHT / 2, "middle", "No data", ' class="none"'))
    return "".join([*drawn, "</svg>"])


def _bands(lines: list[Line], is_stacked: bool, span: Span) -> Iterator[_Band]:
    """A series that is not there at a time adds nothing then."""
    below = [(at, 0.0) for at in span.times]
    for line in lines:
        if not is_stacked or line.is_limit:
            yield _Band(line, line.points, [])
            continue
        values = {round(at, 3): value for at, value in line.points}
        points = [(at, under + values.get(round(at, 3), 0.0)) for at, under in below]
        yield _Band(line, points, below)
        below = points


def _minutes(span: Span) -> range:
    """Before its end."""
    minutes = round((span.end - span.start) / 60)
    return range(0, minutes, max(1, minutes // _TIMES))


def _unbroken(points: Points, step: float) -> list[Points]:
    parts: list[Points] = []
    for point in points:
        if parts and point[0] - parts[-1][-1][0] < 1.5 * step:
            parts[-1].append(point)
        else:
            parts.append([point])
    return parts


def _text(x: float, y: float, anchor: str, text: str, more: str = "") -> str:
    return f'<text{more} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'

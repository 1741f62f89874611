"""What the benchmark prints: rows of a table, in groups, each beside its floor and its aim."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

BEGIN, END = "<!-- measured: make bench-docs -->\n", "<!-- end -->\n"
_COLUMNS = ("floor", "ours", "ratio")
_WIDTH = 10  # of a number's column
_AIM_WIDTH = 17


class Aim(NamedTuple):
    """What is to be at most `limit`, or at least it: the value, its ratio to the floor, or what it
    is above the floor."""

    limit: float
    of: Literal["value", "ratio", "above"] = "value"
    at_least: bool = False

    def met(self, floor: float, ours: float) -> bool:
        found = {"value": ours, "ratio": ours / floor, "above": ours - floor}[self.of]
        return found >= self.limit if self.at_least else found <= self.limit

    @property
    def text(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{'ours' if self.of == 'value' else self.of} {sign} {self.limit:,g}"


class Row(NamedTuple):
    """`floor` and `ours` in the same unit, which `what` names."""

    what: str
    floor: float
    ours: float
    aim: Aim | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.floor

    @property
    def met(self) -> bool | None:
        return self.aim and self.aim.met(self.floor, self.ours)


class Group(NamedTuple):
    """`floor` says what the rows are compared with."""

    name: str
    floor: str
    rows: Sequence[Row]


def render(head: Sequence[str], groups: Sequence[Group], warnings: Sequence[str] = ()) -> str:
    """The table as text; each of the `warnings` is a line of its own before it."""
    rows = [row for group in groups for row in group.rows]
    width = max(len(row.what) for row in rows) + 4
    columns = "".join(f"{name:>{_WIDTH}}" for name in _COLUMNS)
    lines = [*head, *(f"WARNING: {warning}" for warning in warnings), ""]
    lines.append(f"{'':{width}}{columns}  {'aim':{_AIM_WIDTH}}met")
    for group in groups:
        lines += [f"{group.name} (floor: {group.floor})", *(_line(r, width) for r in group.rows)]
    judged = [row.met for row in rows if row.aim]
    lines += ["", f"{sum(map(bool, judged))} of {len(judged)} aims met"]
    return "\n".join(line.rstrip() for line in lines)


def shown(page: str, table: str) -> str:
    """The page with this table in place of the one before."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n```\n{table}\n```\n\n{END}{after}"


def _line(row: Row, width: int) -> str:
    numbers = "".join(f"{number(n):>{_WIDTH}}" for n in (row.floor, row.ours, row.ratio))
    mark = {True: "yes", False: "NO", None: ""}[row.met]
    return (
        f"  {row.what:{width - 2}}{numbers}  {row.aim.text if row.aim else '':{_AIM_WIDTH}}{mark}"
    )


def number(value: float) -> str:
    """With three digits that say something."""
    decimals = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{decimals}f}"

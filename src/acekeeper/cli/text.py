"""How a person is shown what the API answers."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def printable(text: object) -> str:
    """Some of it comes from strangers: what a terminal would take for a command is shown as `?`."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def clock(moment: str) -> str:
    """The host's own time."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def ago(moment: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{count(int(seconds // length), unit)} ago"
    return f"{count(max(0, int(seconds)), 'second')} ago"


def happened(entry: Mapping[str, Any]) -> str:
    """An entry of the log without its time."""
    about = [entry[name] for name in ("engine", "stream") if entry[name]]
    more = [f"{_words(name)} {_value(value)}" for name, value in entry["data"].items()]
    said = "; ".join(part for part in (", ".join(about), ", ".join(more)) if part)
    return printable(f"{_words(entry['kind'])}{said and f': {said}'}")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.1f}" if value >= 1 else f"{value:.3f}"
        case list():
            return " and ".join(map(str, value))
        case _:
            return str(value)

"""What the words of a command line give, and how a person is told of them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

HELP = {"-h", "--help"}


class Option(NamedTuple):
    """One of `flags`, which are the defaults, as a person is told of it."""

    flags: Any
    name: str
    value: str  # what stands for it; empty if it takes none
    meaning: str

    @property
    def default(self) -> str:
        default = self.flags._asdict()[self.name.replace("-", "_")]
        if default in (None, False, ""):
            return "off"
        return f"{default:g}" if isinstance(default, float) else str(default)

    def __str__(self) -> str:
        return f"--{self.name} {self.value}".rstrip()


def usage(command: str, meaning: str, options: Iterable[Option]) -> str:
    lines = [
        f"usage: acekeeper {command} [OPTION...]",
        "",
        meaning,
        "",
        "options:",
        *(f"  {option!s:22}{option.meaning} ({option.default})" for option in options),
    ]
    return "\n".join(lines)


def given(argv: list[str]) -> dict[str, str]:
    """By name, with or without a value; what is no option is passed over."""
    found: dict[str, str] = {}
    name = ""
    for word in argv:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
        elif name:
            found[name] = word
            name = ""
    return found


def number(words: dict[str, str], name: str, default: float, low: float, high: float) -> float:
    """ValueError says what is wrong with it."""
    if name not in words:
        return default
    try:
        value = float(words[name])
    except ValueError:
        raise ValueError(f"--{name} needs a number, not {words[name]!r}") from None
    if not low <= value <= high:
        raise ValueError(f"--{name} must be {low} to {high}, not {words[name]}")
    return value

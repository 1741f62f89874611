"""The settings that are compared: the default, each profile, and each value of a profile alone."""

from collections.abc import Mapping
from typing import NamedTuple

from acekeeper.core.rules import Rules
from acekeeper.profiles import PROFILES
from acekeeper.rules import rules_of
from acekeeper.settings import SETTINGS, Settings, load


class Choice(NamedTuple):
    """What is set, by name; `name` is how a table calls it."""

    name: str
    given: Mapping[str, str]

    def settings(self) -> Settings:
        return load(self.given)

    def rules(self) -> Rules:
        return rules_of(self.settings())


DEFAULT = Choice("default", {})
HIGH_LOAD, CONSTRAINED, HIGH_AVAILABILITY = (
    Choice(name, {"PROFILE": name}) for name, values in PROFILES.items() if values
)
WHOLE = (DEFAULT, HIGH_LOAD, CONSTRAINED, HIGH_AVAILABILITY)


def alone(*names: str) -> list[Choice]:
    """For each of these settings, by rising values: those of the profiles, one at a time."""
    return [
        Choice(f"`{name}={value}`", {name: value})
        for name in names
        for value in sorted(_values(name), key=float)
    ]


def _values(name: str) -> set[str]:
    said = {values[name] for values in PROFILES.values() if name in values}
    return said - {SETTINGS[name].kind.default}


def changed() -> list[str]:
    """The settings that any profile changes."""
    return [name for name in SETTINGS if _values(name)]

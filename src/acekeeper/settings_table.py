"""The settings in force, as an operator would write them, and where each came from."""

import shlex
from pathlib import Path
from typing import NamedTuple

from acekeeper.setting_kinds import Secret
from acekeeper.settings import SETTINGS, Settings


class InForce(NamedTuple):
    name: str
    value: str
    source: str


def in_force(settings: Settings) -> list[InForce]:
    return [
        InForce(name, _said(name, getattr(settings, name.lower())), settings.sources[name])
        for name in SETTINGS
    ]


def table(settings: Settings) -> str:
    lines = [(f"{name}={value}", source) for name, value, source in in_force(settings)]
    width = min(max(len(said) for said, _ in lines), 60)
    return "\n".join(f"{said:{width}}  # {source}" for said, source in lines)


def _said(name: str, value: object) -> str:
    match value:
        case None:
            return ""
        case Secret():
            return "***"
        case bool():
            return str(value).lower()
        case float():
            return str(value).removesuffix(".0")
        case range():
            return f"{value[0]}-{value[-1]}"
        case tuple() if name != "ENGINE_COMMAND":
            return ",".join(map(str, value))
        case tuple():
            return shlex.join(value)
        case str() | int() | Path():
            return str(value)
        case _:
            raise AssertionError(f"no setting is a {type(value).__name__}")

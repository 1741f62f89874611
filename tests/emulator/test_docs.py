"""docs/emulator.md names all there is."""

from pathlib import Path

import pytest

from acekeeper.emulator.counters import Count
from acekeeper.emulator.faults import KINDS
from acekeeper.emulator.flags import Flags

DOCUMENTED = (Path(__file__).parents[2] / "docs/emulator.md").read_text()


@pytest.mark.parametrize("name", [*KINDS, *Count, "sessions", "readers"])
def test_names_every_fault_and_counter(name: str) -> None:
    assert f"`{name}`" in DOCUMENTED


def test_names_every_option_and_its_default() -> None:
    for name, default in Flags()._asdict().items():
        shown = "off" if default in (None, False) else f"{default:g}"
        option = f"| `--{name.replace('_', '-')}"
        [row] = [line for line in DOCUMENTED.splitlines() if line.startswith(option)]
        assert f"| {shown} |" in row

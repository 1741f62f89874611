"""docs/emulator.md names all there is."""

import re
from pathlib import Path

import pytest

from acekeeper.emulator.counters import Count
from acekeeper.emulator.kinds import KINDS
from acekeeper.emulator.options import OPTIONS, Flags

DOCUMENTED = (Path(__file__).parents[2] / "docs/emulator.md").read_text()


@pytest.mark.parametrize("name", [*KINDS, *Count, "sessions", "readers"])
def test_names_every_fault_and_counter(name: str) -> None:
    assert f"`{name}`" in DOCUMENTED


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_tested(kind: str) -> None:
    here = Path(__file__).parent
    tests = "".join(path.read_text() for path in here.glob("test_*.py"))
    assert re.search(rf'fault\("{kind}"|"kind", \[.*"{kind}"', tests)


def test_a_person_is_told_of_every_option() -> None:
    assert [option.name.replace("-", "_") for option in OPTIONS] == [*Flags._fields]

"""The house: who may import whom, and what every file keeps to."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/acekeeper"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 360  # lines; a file near it holds two things


def test_imports_go_one_way() -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("module", ["acekeeper.emulator", "acekeeper.client", "acekeeper.cli"])
def test_what_starts_often_imports_the_standard_library_only(module: str) -> None:
    foreign = (
        f"import sys, {module}\n"
        "tops = {name.partition('.')[0] for name in sys.modules}\n"
        "known = sys.stdlib_module_names | {'acekeeper', '__main__', '__mp_main__'}\n"
        "print(*sorted(tops - known))"
    )
    printed = subprocess.check_output([sys.executable, "-I", "-c", foreign], text=True)
    # Python's own start may have loaded what makes an editable install work.
    assert {
        name for name in printed.split() if not name.startswith(("_", "sitecustomize"))
    } == set()


def test_the_rules_have_no_clock_and_no_io() -> None:
    """They import only what has neither; of msgspec, what values are made of."""
    pure = [
        *("acekeeper.core", "msgspec.Struct", "msgspec.structs"),
        *("bisect", "collections", "dataclasses", "enum", "functools", "hashlib", "heapq"),
        *("itertools", "math", "operator", "re", "typing"),
    ]
    for path in (SOURCE / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            else:
                continue
            foreign = {n for n in names if not f"{n}.".startswith(tuple(f"{p}." for p in pure))}
            assert not foreign, f"{path.name} imports {foreign}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    if path.name not in ("__init__.py", "__main__.py"):
        assert ast.get_docstring(ast.parse(text)), "no docstring says what the file is for"

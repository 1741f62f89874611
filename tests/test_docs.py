"""The pages say what is so."""

import ast
import re
from pathlib import Path
from typing import TypeGuard

import pytest

from acekeeper.api.application import ROUTES
from acekeeper.core.happenings import HAPPENINGS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_route_is_documented_with_who_may_call_it() -> None:
    page = (ROOT / "docs/api.md").read_text("utf-8")
    rows = re.findall(r"^\| `(GET|POST|DELETE) (/[^`?]*)` \| (\w+) \|", page, re.MULTILINE)
    documented = {(method, re.sub(r"\{.*?\}", "{}", path), who) for method, path, who in rows}
    there = {
        (method, re.sub(r"\{.*?\}", "{}", path), handler.opt["access"])
        for handler in ROUTES
        for path in handler.paths
        for method in handler.http_methods
    }
    assert documented == there


def test_every_kind_of_the_log_is_told_somewhere_and_has_a_meaning() -> None:
    told = {"log_begun"}  # by the database itself
    for path in (ROOT / "src/acekeeper/core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("state.tell"):
                told |= {str(n.value) for n in ast.walk(node.args[0]) if _is_text(n)}
    assert told == HAPPENINGS.keys()
    assert list(HAPPENINGS) == sorted(HAPPENINGS)


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(), re.M))
    targets |= {"stop"}  # shares a rule with `run`
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE))
    assert named <= targets

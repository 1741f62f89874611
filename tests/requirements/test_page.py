"""docs/requirements.md: every item is there, and what it names exists."""

import ast
import re
from pathlib import Path

from acekeeper.api.application import ROUTES
from acekeeper.profiles import PROFILES
from acekeeper.settings import SETTINGS

from ..api.conftest import Served

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PAGE = (ROOT / "docs/requirements.md").read_text("utf-8")
CODE = re.findall(r"`([^`]+)`", PAGE)
SECTIONS = [
    "The twelve improvements",
    "Configuration tuning guide",
    "Monitoring setup",
    "Testing strategy",
    "Summary",
]


def test_every_numbered_item_has_a_row_with_its_tests() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*)$", PAGE, re.MULTILINE))
    assert list(map(int, rows)) == list(range(1, 13))
    for number, row in rows.items():
        [file] = HERE.glob(f"test_{int(number):02}_*.py")
        assert f"`tests/requirements/{file.name}`" in row


def test_every_section_and_profile_is_there() -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == SECTIONS
    for profile in PROFILES.keys() - {"none"}:
        assert f"| `{profile}` |" in PAGE


def test_every_file_of_tests_is_named() -> None:
    named = {code.partition("::")[0] for code in CODE}
    files = {f"tests/requirements/{file.name}" for file in HERE.glob("test_*.py")}
    assert files - named == {f"tests/requirements/{Path(__file__).name}"}


def test_what_is_named_exists() -> None:
    paths = [code for code in CODE if re.match(r"(tests|src|docs|ansible)/|\.env", code)]
    assert len(paths) > 40
    for path in paths:
        name, _, test = path.partition("::")
        assert (ROOT / name).is_file(), path
        if test:
            tree = ast.parse((ROOT / name).read_text("utf-8"))
            defined = {getattr(node, "name", "") for node in ast.walk(tree)}
            assert test in defined, path


async def test_routes_settings_and_metrics_are_ours(served: Served) -> None:
    routes = {f"{method} {path}" for r in ROUTES for method in r.http_methods for path in r.paths}
    text = (await served.get("/metrics")).text
    for code in CODE:
        if re.fullmatch(r"(GET|POST) /\S*", code):
            assert code in routes, code
        if re.fullmatch(r"[A-Z][A-Z_]+", code):
            assert code in SETTINGS, code
        if code.startswith("orch_"):
            assert f"# TYPE {code.removesuffix('_bucket')} " in text, code

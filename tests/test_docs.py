"""The pages say what is so."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from acekeeper.api.application import ROUTES
from acekeeper.core.happenings import FIELDS, HAPPENINGS
from acekeeper.log_events import FIELDS as LOG_FIELDS
from acekeeper.log_events import LOG_EVENTS
from acekeeper.metrics import FAMILIES

ROOT = Path(__file__).parent.parent
GENERATE = runpy.run_path(str(ROOT / "docs/generate.py"))
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
    told: dict[str, object] = GENERATE["said_by_core"]()
    by_the_database = {"log_begun", "log_restored"}
    assert told.keys() | by_the_database == HAPPENINGS.keys()
    assert list(HAPPENINGS) == sorted(HAPPENINGS)


def test_every_event_of_the_log_is_one_word_and_has_a_meaning() -> None:
    logged: dict[str, object] = GENERATE["said_to_the_log"]()
    assert logged.keys() == LOG_EVENTS.keys()
    assert list(LOG_EVENTS) == sorted(LOG_EVENTS)
    assert not HAPPENINGS.keys() & LOG_EVENTS.keys()
    assert all(re.fullmatch("[a-z_]+", event) for event in LOG_EVENTS)


def test_every_field_of_the_log_is_explained_and_no_other() -> None:
    told = {name for said in GENERATE["said_by_core"]().values() for name in said.fields}
    logged = {name for said in GENERATE["said_to_the_log"]().values() for name in said.fields}
    assert told == FIELDS.keys()
    assert logged - told == LOG_FIELDS.keys()
    assert not FIELDS.keys() & LOG_FIELDS.keys()


def test_every_cause_of_a_death_or_a_failed_start_is_explained_and_no_other() -> None:
    page = (ROOT / "docs/engine-died.md").read_text("utf-8")
    table = page.partition("\n## Causes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    explained = [word for row in rows for word in re.findall(r"`(\w+)`", row)]
    counted = ("orch_engine_deaths_total", "orch_engine_start_failures_total")
    assert len(explained) == len(set(explained))
    assert set(explained) == {c for name in counted for c in FAMILIES[name].labels["cause"]}


def test_every_variable_of_the_playbook_has_one_row() -> None:
    page = (ROOT / "docs/deploying.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert len(rows) == len({*rows})
    defaults = (ROOT / "ansible/roles").glob("*/defaults/main.yml")
    given = {name for path in defaults for name in re.findall(r"(?m)^(\w+):", path.read_text())}
    assert {*rows} == given | {"acekeeper_image", "acekeeper_engine_variant"}
    example = (ROOT / "ansible/inventory.example.yml").read_text("utf-8")
    assert {*re.findall(r"\b((?:acekeeper|monitoring)_\w+):", example)} <= {*rows}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Those to files, and the heading each means."""
    for target, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text("utf-8")):
        if not target.startswith("https://"):
            yield (page.parent / target).resolve() if target else page, heading


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in links(page):
        assert target.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert heading in {text.lower().replace(" ", "-") for text in headings}, target


def test_what_a_host_has_leads_to_what_it_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    paths = [ROOT / name for name in shared if not name.startswith("docs/command/")]
    there = {page for path in paths for page in (path.glob("*.md") if path.is_dir() else [path])}
    for page in there:
        assert {target for target, _ in links(page)} <= there, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(), re.M))
    targets |= {"stop"}  # shares a rule with `run`
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE))
    assert named <= targets

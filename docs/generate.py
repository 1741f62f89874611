"""Rewrites what is derived from tables in the source.

docs/settings.md and .env.example from that of the settings, docs/emulator.md from those of its
options and faults, docs/metrics.md from that of metrics, docs/log.md from all that is told and
logged, docs/deploying.md from what the roles say of their variables; what docs/simulation.md shows,
and what the benchmark finds for docs/tuning.md. And docs/command/, which is the man page and what
shells complete, from the parser.
"""

import ast
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import shtab
import yaml
from argparse_manpage.manpage import Manpage
from tests.load.tuning.tables import TABLES

from acekeeper import __version__
from acekeeper.cli.parser import parser
from acekeeper.core.happenings import FIELDS, HAPPENINGS, WARNINGS
from acekeeper.emulator.kinds import KINDS, Kind
from acekeeper.emulator.options import OPTIONS
from acekeeper.emulator.vpn.kinds import KINDS as VPN_KINDS
from acekeeper.emulator.vpn.options import OPTIONS as VPN_OPTIONS
from acekeeper.emulator.words import Option
from acekeeper.log_events import FIELDS as LOG_FIELDS
from acekeeper.log_events import LOG_EVENTS
from acekeeper.metrics import FAMILIES
from acekeeper.profiles import PROFILES
from acekeeper.rules import rules_of
from acekeeper.settings import SETTINGS, load
from acekeeper.simulation import DAYS, simulate
from acekeeper.simulation import text as report

ROOT = Path(__file__).parent.parent
ROLES = ("acekeeper", "monitoring")
SOURCE = ROOT / "src/acekeeper"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
BEGIN, END = "<!-- generated: make docs -->\n", "<!-- end -->\n"

# By their first setting, in the order of the table.
GROUPS = {
    "API_REQUEST_TIMEOUT_S": "Timeouts, the pool, the circuit breaker, the API",
    "MAX_REPLICAS": "Limits, ports, health",
    "RUNTIME": "The installation",
}
SHELLS = ("bash", "zsh", "fish")


def docs_table() -> str:
    lines: list[str] = []
    for name, (kind, text) in SETTINGS.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}", ""]
            lines += ["| Name | Default | Allowed | Meaning |", "|---|---|---|---|"]
        default = f"`{kind.default}`" if kind.default else "none"
        older = f" Older name: `{kind.older_name}`." if kind.older_name else ""
        lines.append(f"| `{name}` | {default} | {kind.allowed} | {text}{older} |")
    profiles = {profile: values for profile, values in PROFILES.items() if values}
    lines += ["", "## Profiles", ""]
    lines += [f"| Name | Default | {' | '.join(profiles)} |", "|---|---|" + "---|" * len(profiles)]
    for name, (kind, _) in SETTINGS.items():
        cells = [values.get(name, "") for values in profiles.values()]
        if any(cells):
            lines.append(f"| `{name}` | {kind.default} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def env_example() -> str:
    lines = [
        "# Every setting with its default. docs/settings.md explains; `make docs` writes this."
    ]
    for name, (kind, text) in SETTINGS.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}"]
        lines += ["", f"# {text}", f"# ({kind.allowed})", f"#{name}={kind.default}"]
    return "\n".join(lines) + "\n"


def variables_table() -> str:
    """Of the roles' specifications, whose markup is Ansible's."""
    lines = ["| Name | Default | Meaning |", "|---|---|---|"]
    for role in ROLES:
        path = ROOT / f"ansible/roles/{role}/meta/argument_specs.yml"
        specs = yaml.safe_load(path.read_text("utf-8"))["argument_specs"]
        for options in (spec["options"] for spec in specs.values()):
            for name, option in options.items():
                lines.append(f"| `{name}` | {_default(option)} | {_meaning(option)} |")
    return "\n".join(lines) + "\n"


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "must be given"
    default = option["default"]
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str) and "{{" in default:
        return "it depends"
    if isinstance(default, list):
        default = ", ".join(default)
    return f"`{default}`" if default else "none"


def _meaning(option: dict[str, Any]) -> str:
    said = option["description"]
    text = re.sub(r"\b[CO]\((.+?)\)", r"`\1`", said if isinstance(said, str) else " ".join(said))
    if "choices" in option:
        text += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
    return text


def options_table(options: Iterable[Option]) -> str:
    lines = ["| option | default | meaning |", "|---|---|---|"]
    lines += [f"| `{option}` | {option.default} | {option.meaning} |" for option in options]
    return "\n".join(lines) + "\n"


def faults_table() -> str:
    lines = ["| kind | per content | `amount` (default) | effect |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        content = "yes" if kind.per_content else "no"
        lines.append(f"| `{name}` | {content} | {_amount(kind)} | {kind.effect} |")
    return "\n".join(lines) + "\n"


def vpn_faults_table() -> str:
    lines = ["| kind | `amount` (default) | effect |", "|---|---|---|"]
    lines += [f"| `{n}` | {_amount(kind)} | {kind.effect} |" for n, kind in VPN_KINDS.items()]
    return "\n".join(lines) + "\n"


def _amount(fault: Kind) -> str:
    return f"{fault.amount.unit} ({fault.amount.default:g})" if fault.amount else ""


def log_tables() -> str:
    lines = ["| Kind | Level | Fields | What happened |", "|---|---|---|---|"]
    told = said_by_core()
    for kind, text in HAPPENINGS.items():
        level = "WARNING" if kind in WARNINGS else "INFO"
        lines.append(f"| `{kind}` | {level} | {_fields(told.get(kind, Said()))} | {text} |")
    lines += ["", "What the service says beside that, in the journal alone:", ""]
    lines += ["| Event | Level | Fields | Meaning |", "|---|---|---|---|"]
    logged = said_to_the_log()
    for event, text in LOG_EVENTS.items():
        levels = ", ".join(sorted(logged[event].levels))
        lines.append(f"| `{event}` | {levels} | {_fields(logged[event])} | {text} |")
    lines += ["", "What their fields mean:", "", "| Field | Meaning |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in sorted((FIELDS | LOG_FIELDS).items())]
    return "\n".join(lines) + "\n"


@dataclass
class Said:
    """What calls in the source say under one word."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def said_by_core() -> dict[str, Said]:
    found: dict[str, Said] = {}
    for call in _calls(SOURCE / "core"):
        if ast.unparse(call.func) == "state.tell":
            fields = {keyword.arg for keyword in call.keywords if keyword.arg}
            given = [ast.unparse(argument) != "None" for argument in call.args[1:]]
            fields |= {n for n, there in zip(("engine", "stream"), given, strict=False) if there}
            for kind in _words(call.args[0]):
                found.setdefault(kind, Said()).fields |= fields
    return found


def said_to_the_log() -> dict[str, Said]:
    found: dict[str, Said] = {}
    for call in _calls(SOURCE):
        name = ast.unparse(call.func)
        level = name.rpartition(".")[2].upper()
        if not name.startswith("logger.") or level not in LEVELS:
            continue
        for event in _words(call.args[0]):
            said = found.setdefault(event, Said())
            said.levels.add(level)
            said.fields |= {keyword.arg for keyword in call.keywords if keyword.arg}
            if "exception=" in name:
                said.fields |= {"error", "traceback"}
            for inner in ast.walk(call.func):
                if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "logger.bind":
                    said.fields |= {keyword.arg for keyword in inner.keywords if keyword.arg}
    return found


def _calls(directory: Path) -> Iterator[ast.Call]:
    for path in sorted(directory.rglob("*.py")):
        if "emulator" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    yield node


def _words(node: ast.expr) -> set[str]:
    constants = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return {word for word in constants if isinstance(word, str)}


def _fields(said: Said) -> str:
    return ", ".join(f"`{name}`" for name in sorted(said.fields))


def metrics_table() -> str:
    lines = ["| Name | Kind | Labels | Meaning |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        labels = (
            f"`{label}`" + (": " + ", ".join(values) if values else "")
            for label, values in family.labels.items()
        )
        lines.append(f"| `{name}` | {family.kind} | {'; '.join(labels)} | {family.meaning} |")
    return "\n".join(lines) + "\n"


def with_tables(page: Path, *tables: str) -> str:
    """Each in a place of its own."""
    first, *rest = page.read_text("utf-8").split(BEGIN)
    places = zip(tables, rest, strict=True)
    return first + "".join(BEGIN + table + END + old.partition(END)[2] for table, old in places)


def simulated() -> str:
    day = rules_of(load({})), DAYS["evening"](0), 6.0
    return f"\n```\n{report(simulate(*day), simulate(*day, by_gateway=True))}\n```\n\n"


def man_page() -> str:
    with patch.dict(os.environ, COLUMNS="1000"):  # man breaks the lines
        page = Manpage(parser(), format="single-commands-section")
        page.date, page.source, page.manual = "", f"acekeeper {__version__}", "acekeeper"
        page.description = "keep AceStream engines running and hand them to players"
        return str(page)


def completion(shell: str) -> str:
    return shtab.complete(parser(), shell) + "\n"


def generated() -> dict[Path, str]:
    docs = ROOT / "docs"
    return {
        docs / "settings.md": with_tables(docs / "settings.md", docs_table()),
        docs / "log.md": with_tables(docs / "log.md", log_tables()),
        docs / "metrics.md": with_tables(docs / "metrics.md", metrics_table()),
        docs / "simulation.md": with_tables(docs / "simulation.md", simulated()),
        docs / "deploying.md": with_tables(docs / "deploying.md", variables_table()),
        docs / "emulator.md": with_tables(
            docs / "emulator.md",
            options_table(OPTIONS),
            faults_table(),
            options_table(VPN_OPTIONS),
            vpn_faults_table(),
        ),
        docs / "command/acekeeper.1": man_page(),
        **{docs / f"command/acekeeper.{shell}": completion(shell) for shell in SHELLS},
        ROOT / ".env.example": env_example(),
    }


def tuned() -> dict[Path, str]:
    """By itself, since it takes a while."""
    page = ROOT / "docs/tuning.md"
    return {page: with_tables(page, *(table.text for table in TABLES))}


if __name__ == "__main__":
    for path, page in (generated() | tuned()).items():
        path.write_text(page, "utf-8")

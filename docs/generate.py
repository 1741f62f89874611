"""Rewrites what is derived from tables in the source.

docs/settings.md and .env.example from that of the settings, docs/emulator.md from that of faults,
docs/metrics.md and docs/log.md; and what docs/simulation.md shows.
"""

from pathlib import Path

from acekeeper.core.happenings import HAPPENINGS
from acekeeper.emulator.kinds import KINDS
from acekeeper.metrics import FAMILIES
from acekeeper.rules import rules_of
from acekeeper.settings import PROFILES, SETTINGS, load
from acekeeper.simulation import DAYS, simulate, text

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- generated: make docs -->\n", "<!-- end -->\n"

# By their first setting, in the order of the table.
GROUPS = {
    "API_REQUEST_TIMEOUT_S": "Timeouts, the pool, the circuit breaker, the API",
    "MAX_REPLICAS": "Limits, ports, health",
    "RUNTIME": "The installation",
}


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


def faults_table() -> str:
    lines = ["| kind | per content | `amount` (default) | effect |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        content = "yes" if kind.per_content else "no"
        amount = f"{kind.amount.unit} ({kind.amount.default:g})" if kind.amount else ""
        lines.append(f"| `{name}` | {content} | {amount} | {kind.effect} |")
    return "\n".join(lines) + "\n"


def happenings_table() -> str:
    lines = ["| Kind | What happened |", "|---|---|"]
    return (
        "\n".join([*lines, *(f"| `{kind}` | {text} |" for kind, text in HAPPENINGS.items())]) + "\n"
    )


def metrics_table() -> str:
    lines = ["| Name | Kind | Labels | Meaning |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        labels = (
            f"`{label}`" + (": " + ", ".join(values) if values else "")
            for label, values in family.labels.items()
        )
        lines.append(f"| `{name}` | {family.kind} | {'; '.join(labels)} | {family.meaning} |")
    return "\n".join(lines) + "\n"


def with_table(page: Path, table: str) -> str:
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table + END + after


def simulated() -> str:
    return f"\n```\n{text(simulate(rules_of(load({})), DAYS['evening'](), 6.0))}\n```\n\n"


def generated() -> dict[Path, str]:
    docs = ROOT / "docs"
    return {
        docs / "settings.md": with_table(docs / "settings.md", docs_table()),
        docs / "log.md": with_table(docs / "log.md", happenings_table()),
        docs / "metrics.md": with_table(docs / "metrics.md", metrics_table()),
        docs / "simulation.md": with_table(docs / "simulation.md", simulated()),
        docs / "emulator.md": with_table(docs / "emulator.md", faults_table()),
        ROOT / ".env.example": env_example(),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, "utf-8")

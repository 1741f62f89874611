"""Rewrites what is derived from the table of settings: docs/settings.md and .env.example."""

from pathlib import Path

from acekeeper.settings import PROFILES, SETTINGS

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


def generated() -> dict[Path, str]:
    page = ROOT / "docs" / "settings.md"
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        page: before + BEGIN + docs_table() + END + after,
        ROOT / ".env.example": env_example(),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, "utf-8")

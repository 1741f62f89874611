"""The user's systemd: the bus, our units as they are loaded, the drop-ins, the quadlet."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from acekeeper.adapters.systemctl import systemctl
from acekeeper.client import call
from acekeeper.core.names import Slot
from acekeeper.doctor.finding import Finding, complaint, mendable, note, run, well, wrong
from acekeeper.drop_ins import outdated
from acekeeper.errors import CallFailed
from acekeeper.settings import Settings

_OURS = (
    "acekeeper.socket",
    "acekeeper.service",
    "acekeeper-sweep@health.timer",
    "acekeeper-sweep@streams.timer",
    "acekeeper-sweep@scale.timer",
)
_WITHIN_S = 10.0
_GENERATORS = "/usr/lib/systemd/system-generators"
_RELOAD = ("systemctl", "--user", "daemon-reload")


def check(settings: Settings) -> Iterator[Finding]:
    bus = run("systemctl", "--user", "show", "--property=Version", "--value")
    if bus.failed:
        yield complaint("the user's systemd cannot be reached", bus, "Is the user lingering?")
        return
    yield well(f"the user's systemd {bus.out} answers")
    for unit in _OURS:
        findings = list(loaded(unit))
        yield from findings
        if not all(finding.is_well for finding in findings):
            break  # those after it depend on it
    yield from _failed(settings)
    yield from _drop_ins(settings)
    yield _quadlet()


def loaded(unit: str) -> Iterator[Finding]:
    names = ("LoadState", "ActiveState", "NeedDaemonReload")
    shown = run("systemctl", "--user", "show", f"--property={','.join(names)}", unit)
    values = dict(line.partition("=")[::2] for line in shown.out.splitlines())
    if values.get("LoadState") != "loaded":
        yield wrong(f"{unit} is {values.get('LoadState', 'unknown')}", "Deploy again")
        return
    if values.get("NeedDaemonReload") == "yes":
        yield mendable(f"{unit} has changed on disk since it was loaded", _RELOAD)
    if values.get("ActiveState") == "active":
        yield well(f"{unit} is active")
    else:
        yield mendable(
            f"{unit} is {values.get('ActiveState')}",
            ("systemctl", "--user", "start", unit.replace("keeper.socket", "keeper.service")),
            advice=f"`{systemctl('status', unit)}` says why; start it",
        )


def _failed(settings: Settings) -> Iterator[Finding]:
    patterns = ("acekeeper*", "engine@*")
    listed = run(
        *("systemctl", "--user", "list-units", "--state=failed", "--plain", "--no-legend"),
        *patterns,
    )
    for line in listed.out.splitlines():
        unit = line.split()[0]
        asked = run("systemctl", "--user", "show", "--property=Result", "--value", unit)
        failed = f"{unit} failed ({asked.out})"
        why = f"`journalctl _SYSTEMD_USER_UNIT={unit} + USER_UNIT={unit}`, as root, says why"
        if _is_minded(settings, unit):
            yield note(f"{failed}, and acekeeper goes on without it", why)
            continue
        forget = ("systemctl", "--user", "reset-failed", unit)
        advice = f"{why}; `{systemctl(*forget[2:])}` forgets it"
        yield mendable(failed, forget, advice=advice)


def _is_minded(settings: Settings, unit: str) -> bool:
    """Whether it was an engine, acekeeper runs and knows that it has ended, and may start another
    one. systemd shows it for ten minutes more."""
    slot = Slot.from_unit(unit)
    if slot is None:
        return False
    try:
        ready = call(settings, "GET", "/health/ready", within=_WITHIN_S)["ready"]
        there = call(settings, "GET", "/engines?include=all", within=_WITHIN_S)
    except CallFailed:
        return False
    return ready and slot.container_name not in {e["container_name"] for e in there}


def _drop_ins(settings: Settings) -> Iterator[Finding]:
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    directory = Path(config) / "systemd/user"
    differ = outdated(directory, settings)
    for path in differ:
        yield wrong(
            f"{path} does not say what the settings say",
            f"Run `acekeeper settings --drop-ins {directory}` and `{systemctl('daemon-reload')}`,"
            " and restart its unit",
        )
    if not differ:
        yield well("the drop-ins are up to date")


def _quadlet() -> Finding:
    where = f"{os.environ.get('PATH', '')}:{_GENERATORS}"
    generator = shutil.which("podman-system-generator", path=where)
    if generator is None:
        return wrong("Podman has no quadlet generator", "Install Podman 5.4.1 or newer")
    rendered = run(generator, "--user", "--dryrun")
    if rendered.failed:
        return complaint("the quadlets cannot be rendered", rendered, "Deploy again")
    if "---engine@.service---" not in rendered.out:
        return wrong(
            "there is no quadlet engine@.container for this user",
            f"Deploy again: it belongs in /etc/containers/systemd/users/{os.getuid()}/",
        )
    return well("the quadlet engine@.container can be rendered")

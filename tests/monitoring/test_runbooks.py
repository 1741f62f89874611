"""Every alert has its page, and every command in it exists."""

import re
import subprocess
import tomllib
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from ..host.faults import FAULTS
from ..host.fleet.deployed import Fleet, Member
from ..host.fleet_faults import fleet_faults
from ..host.vpn.provider import Provider
from ..host.vpn_faults import vpn_faults
from .commands import ROOT, check, commands
from .rules import alerts

RUNBOOKS = ROOT / "docs/runbooks"
INDEX = RUNBOOKS / "README.md"
PAGES = sorted(path for path in RUNBOOKS.iterdir() if path != INDEX)
ALERTS = alerts()
INSTALLED = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"][
    "targets"
]["wheel"]["shared-data"]
HEADINGS = ["## Confirm", "## Likely causes, and the fix", "## Over"]


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert [page.name for page in PAGES] == sorted(f"{alert.name}.md" for alert in ALERTS)


def test_the_index_tells_them_all_with_their_severity() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|$", INDEX.read_text("utf-8"), re.M)
    assert rows == sorted(
        ((a.name, a.name, a.labels.severity) for a in ALERTS), key=lambda r: (r[2], r[0])
    )


def test_every_alert_has_a_fault_its_page_is_walked_with() -> None:
    of_vpns = vpn_faults(create_autospec(Provider))
    members = [create_autospec(Member), create_autospec(Member)]
    of_a_fleet = fleet_faults(create_autospec(Fleet, members=members))
    assert sorted([*FAULTS, *of_vpns, *of_a_fleet]) == sorted(alert.name for alert in ALERTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_it_says_what_it_means_how_to_see_it_why_and_when_it_is_over(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.stem}\n\n**Viewers**")
    assert re.findall("^#+ .*$", text, re.MULTILINE)[1:] == HEADINGS
    assert "[these](README.md#first) first." in text


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_every_command_exists(page: Path) -> None:
    found = list(commands(page.read_text("utf-8")))
    assert found
    for words in found:
        check(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_api_is_asked_only_for_what_the_command_does_not_show(page: Path) -> None:
    found = commands(page.read_text("utf-8"))
    assert {" ".join(words) for words in found if words[0] == "api"} <= {"api GET /metrics"}


@pytest.mark.parametrize(
    "wrong",
    [
        "systemctl --user -M acekeeper@ status acekeeper-swept@health.timer",
        "systemctl --user status acekeeper.service",
        "journalctl -b USER_UNIT=acekeeperd.service",
        "journalctl -b -g store_is_ill _SYSTEMD_USER_UNIT=acekeeper.service",
        "api GET /log/old",
        "api GET '/log?kind=engine_fainted'",
        "api POST /engines",
        "grep -E '^orch_store_(commit_seconds|line)'",
        "systemd-run --user -M acekeeper@ --pipe podman rm -af",
    ],
)
def test_one_that_does_not_is_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        check(next(commands(f"`{wrong}`")))


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_its_links_lead_somewhere_on_a_host_too(page: Path) -> None:
    there = {target: ROOT / source for source, target in INSTALLED.items()}
    assert there["share/doc/acekeeper/runbooks"] == RUNBOOKS
    for target, anchor in re.findall(r"\]\(([^)#]+)(?:#([^)]*))?\)", page.read_text("utf-8")):
        led = (page.parent / target).resolve()
        assert led.parent == RUNBOOKS or led in there.values(), target
        headings = re.findall("^#+ (.*)$", led.read_text("utf-8"), re.MULTILINE)
        assert not anchor or anchor in {h.lower().replace(" ", "-") for h in headings}, anchor


def test_the_key_gets_to_the_api_and_nobody_sees_it(tmp_path: Path) -> None:
    """What `api` does, with a curl that says how it was called."""
    (tmp_path / "settings.env").write_text('API_KEY="a$b"\nAPP_PORT="8000"\n')
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\necho "$@"\ncat\n')
    curl.chmod(0o755)
    [line] = re.findall(r"^api\(\).*$", INDEX.read_text("utf-8"), re.MULTILINE)
    line = line.replace("/etc/acekeeper", str(tmp_path))
    said = subprocess.run(
        ["sh", "-c", f"{line}\napi POST /gc"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split("\n") == [
        "-sS -m 10 -K - -X POST http://127.0.0.1:8000/gc",
        'header = "Authorization: Bearer a$b"',
        *("", ""),
    ]

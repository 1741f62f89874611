"""The unit files agree with the settings, with each other, and with what is installed."""

import re
import tomllib
from operator import attrgetter
from pathlib import Path

import pytest

from acekeeper.drop_ins import drop_ins
from acekeeper.listening import GATEWAY
from acekeeper.settings import SETTINGS, load
from acekeeper.usecases.sweep import Kind

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "systemd").iterdir())
NAME = attrgetter("name")
RELEASE = "file:///opt/acekeeper/current/"


def said(text: str, name: str) -> list[str]:
    """The values of an assignment, up to its last reset."""
    values = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    resets = [n for n, value in enumerate(values, 1) if not value]
    return values[resets[-1] if resets else 0 :]


ROLE = ROOT / "ansible/roles/acekeeper/files"
DOCUMENTED = [*UNITS, *(ROOT / "quadlets").glob("*.container"), *ROLE.glob("*.service")]


@pytest.mark.parametrize("unit", DOCUMENTED, ids=NAME)
def test_its_documentation_is_installed_with_it(unit: Path) -> None:
    (page,) = said(unit.read_text(), "Documentation")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert page.removeprefix(RELEASE) in shared.values()
    assert all((ROOT / source).exists() for source in shared)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix != ".slice"], ids=NAME)
def test_no_number_of_restarts_keeps_it_from_starting(unit: Path) -> None:
    assert said(unit.read_text(), "StartLimitIntervalSec") == ["0"]


@pytest.mark.parametrize(
    "unit", ["acekeeper.socket", "acekeeper-gateway.socket", "acekeeper-sweep@.service"]
)
def test_by_default_a_drop_in_says_what_the_unit_says(unit: str) -> None:
    plain = (ROOT / "systemd" / unit).read_text()
    (text,) = (text for path, text in drop_ins(load({})).items() if path.startswith(f"{unit}.d/"))
    for name in set(re.findall(r"^(\w+)=", text, re.MULTILINE)):
        assert said(text, name) == said(plain, name), name


def test_a_timer_keeps_all_but_its_interval() -> None:
    plain = (ROOT / "systemd/acekeeper-sweep@.timer").read_text()
    for path, text in drop_ins(load({})).items():
        if ".timer.d/" in path:
            assert said(text, "OnActiveSec") == said(plain, "OnActiveSec")
            assert len(said(text, "OnUnitActiveSec")) == 1


def test_every_kind_of_sweep_is_enabled_with_the_service() -> None:
    service = (ROOT / "systemd/acekeeper.service").read_text()
    enabled = " ".join(said(service, "Also")).split()
    assert enabled == ["acekeeper.socket", *(f"acekeeper-sweep@{kind}.timer" for kind in Kind)]


def test_the_gateways_socket_is_handed_over_and_the_service_goes_on_without_it() -> None:
    service, socket = (
        (ROOT / "systemd" / name).read_text()
        for name in ("acekeeper.service", "acekeeper-gateway.socket")
    )
    assert said(socket, "Service") == ["acekeeper.service"]
    assert said(socket, "FileDescriptorName") == [GATEWAY]
    assert "acekeeper-gateway.socket" in said(service, "Wants")[0].split()
    assert "acekeeper-gateway.socket" in said(service, "After")[0].split()
    assert said(service, "Requires") == ["acekeeper.socket"]


def test_a_sweep_has_the_settings_of_the_service() -> None:
    service, sweep = (
        (ROOT / "systemd" / name).read_text()
        for name in ("acekeeper.service", "acekeeper-sweep@.service")
    )
    (file,) = said(sweep, "EnvironmentFile")
    assert f"SETTINGS_FILE={file}" in said(service, "Environment")[0].split()
    defaults = dict(re.findall(r"--variable %%(\w+)=(\S*)", sweep))
    assert defaults == {name: SETTINGS[name].kind.default for name in ("APP_PORT", "API_KEY")}

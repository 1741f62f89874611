import os
import subprocess
import sys
from pathlib import Path

import pytest

from acekeeper.profiles import PROFILES
from acekeeper.settings import SETTINGS, load
from acekeeper.settings_table import table

KEY = "not-to-be-seen"


def said(environ: dict[str, str]) -> dict[str, tuple[str, str]]:
    """By name: the value and its source."""
    lines = [line.rpartition("  # ") for line in table(load(environ)).splitlines()]
    named = [(said.partition("="), source) for said, _, source in lines]
    return {name: (value.rstrip(), source) for (name, _, value), source in named}


def test_every_setting_is_there_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text(f"MIN_REPLICAS=3\nAPI_KEY={KEY}\n")
    found = said({"SETTINGS_FILE": str(file), "PROFILE": "high-load", "AUTO_DELETE": "no"})
    assert list(found) == list(SETTINGS)
    assert found["MIN_REPLICAS"] == ("3", "settings file")
    assert found["AUTO_DELETE"] == ("false", "environment")
    assert found["MIN_PROVISION_INTERVAL_S"] == ("0.2", "profile high-load")
    assert found["PORT_RANGE_HOST"] == ("19000-19999", "default")
    assert found["TARGET_IMAGE"] == ("", "default")
    assert found["API_KEY"] == ("***", "settings file")


@pytest.mark.parametrize("profile", PROFILES)
def test_what_it_says_can_be_set(profile: str) -> None:
    environ = {
        "PROFILE": profile,
        "MONITOR_INTERVAL_S": "1234.567",
        "ENGINE_COMMAND": "run 'a b' -p{http_port}",
        "ENGINE_HOST": "127.0.0.1,192.168.1.2",
        "VPNS": "de,ch",
        "GATEWAY_ALLOW": "192.168.1.0/24,fd00:5::/64",
    }
    settings = load(environ)
    again = load({name: value for name, (value, _) in said(environ).items()})
    assert again == settings


def test_the_command_shows_no_secret() -> None:
    acekeeper = Path(sys.executable).with_name("acekeeper")
    environ = {"PATH": os.environ["PATH"], "HOME": "/", "API_KEY": KEY, "API_KEY_PREVIOUS": KEY}
    environ["VPN_API_KEY"] = KEY
    shown = subprocess.check_output([acekeeper, "settings"], env=environ, text=True)
    assert "API_KEY=***" in shown
    assert "API_KEY_PREVIOUS=***" in shown
    assert "VPN_API_KEY=***" in shown
    assert KEY not in shown

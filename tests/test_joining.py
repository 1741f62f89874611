"""What a host that joins a fleet says of itself."""

import os
from pathlib import Path

import pytest

from acekeeper import fleet
from acekeeper.settings import load

from .running import settings

FLEET = {"FLEET_NAME": "home", "FLEET_HOST": "a", "FLEET_SERVERS": "127.0.0.1:4222"}


@pytest.mark.parametrize(
    ("host", "panel"),
    [
        ("127.0.0.1", ""),
        ("localhost", ""),
        ("192.0.2.7", "http://192.0.2.7:8000/panel"),
        ("0.0.0.0", "http://192.0.2.1:8000/panel"),
    ],
)
def test_its_panel_is_told_where_others_reach_it(tmp_path: Path, host: str, panel: str) -> None:
    given = {"APP_HOST": host, "APP_PORT": "8000", "API_KEY": "k" * 32}
    reached = {"FLEET_ADDRESS": "192.0.2.1", "ENGINE_HOST": "192.0.2.1", "GATEWAY_HOST": "0.0.0.0"}
    allowed = {"GATEWAY_ALLOW": "192.0.2.0/24"}
    environ = settings(tmp_path, **FLEET, **given, **reached, **allowed, HOME=os.environ["HOME"])
    assert fleet._panel(load(environ)) == panel

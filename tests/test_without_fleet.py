"""A service that stands alone has nothing of what a fleet needs."""

import os
from pathlib import Path

from .importing import imported
from .ports import free_ports
from .running import run, settings

OF_FLEETS = {
    "acekeeper.adapters.nats_bus",
    "acekeeper.fleet",
    "acekeeper.metrics.fleet",
    "acekeeper.usecases.fleet",
    "nats",
}


def test_what_a_fleet_needs_is_imported_only_where_there_is_one(tmp_path: Path) -> None:
    environ = settings(tmp_path, HOME=os.environ["HOME"])
    alone = imported(environ)
    assert not alone & OF_FLEETS
    assert not {name for name in alone if name.startswith("nats")}
    nobody = f"127.0.0.1:{free_ports().http}"
    fleet = {"FLEET_NAME": "test", "FLEET_HOST": "a", "FLEET_SERVERS": nobody}
    try:
        assert imported({**environ, **fleet}) >= OF_FLEETS
    finally:
        assert run(environ, "stop").status == 0

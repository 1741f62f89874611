"""A service without VPNs has nothing of what they need."""

import os
from pathlib import Path

from .importing import imported
from .ports import free_ports
from .running import run, settings

OF_VPNS = {
    "acekeeper.adapters.gluetun",
    "acekeeper.adapters.net_dev",
    "acekeeper.adapters.vpn_processes",
    "acekeeper.metrics.vpns",
    "acekeeper.usecases.vpns",
}


def test_what_vpns_need_is_imported_only_where_there_are_some(tmp_path: Path) -> None:
    ports = free_ports()
    some = {"VPN_CONTROL_BASE": str(ports.http), "VPN_HEALTH_BASE": str(ports.https)}
    environ = settings(tmp_path, HOME=os.environ["HOME"])
    assert {name for name in imported(environ) if "vpn" in name or name in OF_VPNS} == {
        *("acekeeper.core.vpn", "acekeeper.core.vpns"),  # the rules, which find none
        "acekeeper.api.vpns",  # what /vpn/status answers then
    }
    try:
        assert imported({**environ, **some, "VPNS": "de", "VPN_SLOTS": "3"}) >= OF_VPNS
    finally:
        assert run(environ, "stop").status == 0

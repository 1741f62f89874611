"""A service without VPNs has nothing of what they need."""

import os
import subprocess
import sys
from pathlib import Path

from .ports import free_ports
from .running import LIMIT_S, run, settings

OF_VPNS = {
    "acekeeper.adapters.gluetun",
    "acekeeper.adapters.net_dev",
    "acekeeper.adapters.vpn_processes",
    "acekeeper.metrics.vpns",
    "acekeeper.usecases.vpns",
}
SCRIPT = """
import asyncio, os, sys
from acekeeper.app import service
from acekeeper.settings import load
async def serve():
    async with service(load(os.environ), int):
        print(*sys.modules)
asyncio.run(serve())
"""


def imported(environ: dict[str, str]) -> set[str]:
    command = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True, timeout=LIMIT_S
    ).stdout
    return set(said.split())


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

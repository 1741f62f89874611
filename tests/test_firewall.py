"""The table of nftables, whole; what it does is tried on a host."""

import subprocess
import sys
from pathlib import Path

import pytest

from acekeeper.firewall import firewall
from acekeeper.settings import load

GOLDEN = Path(__file__).parent / "golden/firewall.nft"
ACEKEEPER = str(Path(sys.executable).with_name("acekeeper"))
ALLOW = "192.168.1.0/24,fd00:5::/64,192.168.0.0/24,10.0.0.7"


def test_the_table_is_as_it_was() -> None:
    """Where it is meant to change: `GATEWAY_ALLOW=… acekeeper settings --firewall`."""
    shown = subprocess.run(
        [ACEKEEPER, "settings", "--firewall"],
        env={"GATEWAY_ALLOW": ALLOW},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == GOLDEN.read_text()


def test_nobody_is_let_in_to_peers_that_are_behind_vpns() -> None:
    rules = firewall(load({"VPNS": "de"}))
    without = [line for line in firewall(load({})).splitlines() if "21000" not in line]
    assert rules.splitlines() == without


@pytest.mark.parametrize(
    ("given", "ports", "peers"),
    [
        ({"GATEWAY_PORT": "0"}, "{ 19000-19999 }", "21000-21039"),
        ({"PORT_RANGE_HOST": "19007-19007", "MAX_REPLICAS": "1"}, "{ 6878, 19007 }", "21000"),
    ],
)
def test_only_our_ports_are_closed_and_to_nobody_here(
    given: dict[str, str], ports: str, peers: str
) -> None:
    rules = firewall(load(given)).partition("policy accept;")[2].split("\n")[1:4]
    assert [rule.strip() for rule in rules] == [
        "iif lo accept",
        f"meta l4proto {{ tcp, udp }} th dport {peers} accept",
        f"tcp dport {ports} tcp flags & (syn | ack) == syn drop",
    ]

"""What a host sends, as the cable has it: all that is not for us or the provider of its VPNs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..lab import Host
from ..lab.command import run
from .provider import WIREGUARD, Provider

VPNS = 10
DOORS = "22, 6878, 8000, 19000-19099"  # ssh, the gateway, the API and the engines' HTTP ports


@dataclass(frozen=True)
class Wire:
    """The rules look at every packet that comes from the host, before anything else does, and for
    as long as they are there, whichever boot of the host it is."""

    table: str

    def seen(self) -> dict[str, int]:
        """How many packets, by where they were to go."""
        listed = json.loads(run("nft", "--json", "list", "table", "bridge", self.table).stdout)
        [elements] = [
            entry["set"].get("elem", []) for entry in listed["nftables"] if "set" in entry
        ]
        found = {" ".join(map(str, e["elem"]["val"]["concat"])): e["elem"] for e in elements}
        counts = {to: int(element["counter"]["packets"]) for to, element in found.items()}
        [counter] = [entry["counter"] for entry in listed["nftables"] if "counter" in entry]
        other = counter["packets"] - sum(counts.values())
        return counts | ({"other than IPv4": other} if other else {})


@contextmanager
def watching(host: Host, provider: Provider) -> Iterator[Wire]:
    """What it answers at its doors is no leak: players came to it by the same network."""
    table = host.name
    rules = f"""
        table bridge {table}
        delete table bridge {table}
        table bridge {table} {{
            counter every {{ }}
            set seen {{
                typeof ip saddr . ip daddr . ip protocol . th dport
                flags dynamic
                counter
            }}
            chain looks {{
                type filter hook prerouting priority -300; policy accept;
                iifname != "vb-{host.name}" accept
                ether type arp accept
                ip daddr {provider.address} udp dport {WIREGUARD}-{WIREGUARD + VPNS} accept
                ip daddr {provider.address} icmp type destination-unreachable accept
                ip saddr {host.address} tcp sport {{ {DOORS} }} accept
                counter name every
                update @seen {{ ip saddr . ip daddr . ip protocol . th dport }}
            }}
        }}
    """
    run("nft", "-f", "-", stdin=rules)
    try:
        yield Wire(table)
    finally:
        run("nft", "delete", "table", "bridge", table)

"""The network of the container, and which way a packet leaves it, as Gluetun has it."""

import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

MARK = 51820  # of the packets that carry the tunnel, and of the table of all others
TUNNEL = "tun0"
REPLIES = 200  # the table of what answers somebody who came by the link


@dataclass(frozen=True)
class Link:
    """The way out without a tunnel."""

    name: str
    address: IPv4Interface
    gateway: str

    @classmethod
    def default(cls) -> "Link":
        [route, *_] = _ask("route", "show", "default")
        [link] = _ask("address", "show", "dev", route["dev"])
        [address] = [a for a in link["addr_info"] if a["scope"] == "global"]
        own = IPv4Interface(f"{address['local']}/{address['prefixlen']}")
        return cls(route["dev"], own, route["gateway"])


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True)


def route_replies(link: Link) -> None:
    subnet = str(link.address.network)
    ip("route", "add", "default", "via", link.gateway, "dev", link.name, "table", str(REPLIES))
    ip("rule", "add", "from", str(link.address.ip), "table", str(REPLIES), "priority", "100")
    ip("rule", "add", "to", subnet, "table", "main", "priority", "98")


def route_all(*, add: bool) -> None:
    """All else, through the tunnel."""
    table = ("table", str(MARK), "priority", "101")
    ip("rule", "add" if add else "del", "not", "fwmark", str(MARK), *table)
    if add:  # it goes with its device
        ip("route", "add", "default", "dev", TUNNEL, "table", str(MARK))


def _ask(*what: str) -> Any:
    command = ("ip", "-4", "-json", *what)
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

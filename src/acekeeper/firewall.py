"""A table of nftables that says who may reach the engines and the gateway from beyond this host,
since an engine asks nobody for a key. It leaves all other ports alone.

What it accepts another table may drop all the same: nftables has no other way."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from acekeeper.peers import peer_ports, spelled
from acekeeper.settings import Settings

_PEERS = "        meta l4proto {{ tcp, udp }} th dport {} accept\n"
_TABLE = """\
# Written by `acekeeper settings --firewall`, which will do it again.
# The first two lines are for nft, which replaces the table at once and whole.
table inet acekeeper
delete table inet acekeeper
table inet acekeeper {{
    chain input {{
        type filter hook input priority filter; policy accept;
        iif lo accept
{peers}{allowed}        tcp dport {{ {ports} }} tcp flags & (syn | ack) == syn drop
    }}
}}
"""


def firewall(settings: Settings) -> str:
    """Everybody may be a peer; only this host and the networks of GATEWAY_ALLOW may begin
    connections to our other ports. A connection that is open stays open when they change."""
    first, last = settings.port_range_host[0], settings.port_range_host[-1]
    ports = [str(settings.gateway_port)] if settings.gateway_port else []
    ports.append(f"{first}-{last}" if first < last else f"{first}")
    allowed = "".join(f"        {line}\n" for line in _allowed(settings))
    of_peers = peer_ports(settings)
    peers = _PEERS.format(spelled(of_peers)) if of_peers else ""
    return _TABLE.format(peers=peers, allowed=allowed, ports=", ".join(ports))


def _allowed(settings: Settings) -> Iterator[str]:
    networks = settings.gateway_allow
    ip = collapse_addresses(n for n in networks if isinstance(n, IPv4Network))
    ip6 = collapse_addresses(n for n in networks if isinstance(n, IPv6Network))
    for family, found in (("ip", list(ip)), ("ip6", list(ip6))):
        if found:
            yield f"{family} saddr {{ {', '.join(map(str, found))} }} accept"

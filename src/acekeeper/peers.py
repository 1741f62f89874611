"""The ports at which other peers of the AceStream network reach the engines."""

import ipaddress
import socket

from acekeeper.settings import Settings

_ELSEWHERE = ("192.0.2.1", 9)  # of a network that is set aside for examples; nothing is sent


def peer_ports(settings: Settings) -> range:
    """Those in use on this host: a start takes the lowest that is free and has rested for a minute.
    So there are twice as many as engines, for when all of them are replaced at once. Of engines
    behind VPNs none is."""
    if settings.vpns:
        return range(0)
    first = settings.engine_p2p_base
    return range(first, first + min(len(settings.port_range_host), 2 * settings.max_replicas))


def spelled(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}" if len(ports) > 1 else f"{ports[0]}"


def forwarding(settings: Settings, address: str) -> str:
    """What a router has to do, for a host whose own address this is; empty if nothing."""
    if not peer_ports(settings):
        return ""
    ports = f"TCP and UDP {spelled(peer_ports(settings))}"
    if address and ipaddress.ip_address(address).is_global:
        return f"peers reach the engines at {address}, {ports}, unless a firewall closes them"
    return f"for peers, forward {ports} on the router to {address or 'this host'}"


def own_address() -> str:
    """By which this host goes to others; empty if it has no way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(_ELSEWHERE)
        except OSError:
            return ""
        address: str = asked.getsockname()[0]
        return address

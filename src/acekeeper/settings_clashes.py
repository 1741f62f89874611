"""What no setting can tell alone."""

import ipaddress
from itertools import combinations
from typing import TYPE_CHECKING

from acekeeper.errors import BadSetting
from acekeeper.setting_kinds import image

if TYPE_CHECKING:
    from acekeeper.settings import Settings

_OF_ENGINES = ("HTTPS", "P2P", "API")
_OF_VPNS = ("CONTROL", "HEALTH")
_OF_SLOTS = {"PORT_RANGE_HOST", *(f"ENGINE_{port}_BASE" for port in _OF_ENGINES)}


def check(s: "Settings") -> None:
    if s.min_replicas > s.max_replicas:
        raise BadSetting(
            f"{_said(s, 'MIN_REPLICAS')} is more than {_said(s, 'MAX_REPLICAS')}",
            "Lower the first or raise the second",
        )
    slots = len(s.port_range_host)
    if s.max_replicas > slots:
        raise BadSetting(
            f"{_said(s, 'MAX_REPLICAS')} is more than the {slots} ports of PORT_RANGE_HOST",
            "Lower the first or widen the second",
        )
    ports = {"APP_PORT": range(s.app_port, s.app_port + 1), "PORT_RANGE_HOST": s.port_range_host}
    if s.gateway_port:
        ports["GATEWAY_PORT"] = range(s.gateway_port, s.gateway_port + 1)
    rooms = [(f"ENGINE_{port}_BASE", slots, "slots of PORT_RANGE_HOST") for port in _OF_ENGINES]
    if s.vpns:
        rooms += [(f"VPN_{port}_BASE", len(s.vpns), "VPNS") for port in _OF_VPNS]
        _check_vpn_slots(s, slots)
    for name, count, what in rooms:
        base: int = getattr(s, name.lower())
        ports[name] = range(base, base + count)
        if base + count - 1 > 65535:
            raise BadSetting(
                f"{_said(s, name)} leaves no room for the {count} {what}",
                f"Set it to {65536 - count} at most",
            )
    for (name, first), (other, second) in combinations(ports.items(), 2):
        if first.start < second.stop and second.start < first.stop:
            narrower = " or narrow PORT_RANGE_HOST" if {name, other} & _OF_SLOTS else ""
            raise BadSetting(
                f"{name} ({first[0]}-{first[-1]}) overlaps {other} ({second[0]}-{second[-1]})",
                f"Move one of them{narrower}",
            )
    loopback = s.app_host == "localhost" or ipaddress.ip_address(s.app_host).is_loopback
    if not loopback and not s.api_key:
        raise BadSetting(
            f"APP_HOST={s.app_host} can be reached from outside and there is no API_KEY",
            "Set API_KEY, or APP_HOST to 127.0.0.1",
        )
    beyond = [a for a in s.gateway_host if not ipaddress.ip_address(a).is_loopback]
    if s.gateway_port and beyond and not s.gateway_allow:
        raise BadSetting(
            f"GATEWAY_HOST={beyond[0]} can be reached from outside and there is no GATEWAY_ALLOW",
            "Set GATEWAY_ALLOW to the networks of the players, or GATEWAY_HOST to 127.0.0.1",
        )
    if s.fleet_name:
        _check_fleet(s)
    if s.api_key_previous and not s.api_key:
        raise BadSetting("API_KEY_PREVIOUS is set and API_KEY is not", "Set API_KEY as well")
    if s.api_key_read:
        if not s.api_key:
            raise BadSetting("API_KEY_READ is set and API_KEY is not", "Set API_KEY as well")
        others = (key.reveal() for key in (s.api_key, s.api_key_previous) if key)
        if s.api_key_read.reveal() in others:
            raise BadSetting(
                "API_KEY_READ is the key that may change all (its value is not shown)",
                "Set it to one of its own",
            )
    if s.runtime == "quadlet" and not s.target_image:
        raise BadSetting(
            "TARGET_IMAGE is not set and RUNTIME=quadlet needs it",
            f"Set it to {image().allowed}",
        )


def _check_vpn_slots(s: "Settings", slots: int) -> None:
    """Of VPN_SLOTS for each of VPNS."""
    of_vpns = len(s.vpns) * s.vpn_slots
    if of_vpns > slots:
        raise BadSetting(
            f"{_said(s, 'VPN_SLOTS')} for each of the {len(s.vpns)} VPNS is more than the {slots}"
            " ports of PORT_RANGE_HOST",
            "Lower the first or widen the last",
        )
    if s.max_replicas > of_vpns:
        raise BadSetting(
            f"{_said(s, 'MAX_REPLICAS')} is more than the {of_vpns} slots that"
            f" {_said(s, 'VPN_SLOTS')} gives the {len(s.vpns)} VPNS",
            "Lower the first or raise the second",
        )


def _check_fleet(s: "Settings") -> None:
    for name in ("FLEET_HOST", "FLEET_SERVERS"):
        if not getattr(s, name.lower()):
            raise BadSetting(f"{name} is not set and FLEET_NAME needs it", f"Set {name}")
    if not s.gateway_port:
        raise BadSetting(
            "GATEWAY_PORT=0 turns the gateway off, and FLEET_NAME needs it",
            "Set GATEWAY_PORT, or unset FLEET_NAME",
        )
    for name in ("ENGINE_HOST", "GATEWAY_HOST"):
        if not {s.fleet_address, "0.0.0.0"}.intersection(getattr(s, name.lower())):
            raise BadSetting(
                f"{name} lacks FLEET_ADDRESS={s.fleet_address}, to which the fleet sends players",
                f"Add it to {name}",
            )
    beyond = [a for a, _ in s.fleet_servers if not ipaddress.ip_address(a).is_loopback]
    if beyond and not s.fleet_certificates:
        raise BadSetting(
            f"FLEET_SERVERS has {beyond[0]}, not on loopback, and there is no FLEET_CERTIFICATES",
            "Set FLEET_CERTIFICATES to the directory with ca.crt, host.crt and host.key",
        )
    if beyond and ipaddress.ip_address(s.fleet_address).is_loopback:
        raise BadSetting(
            f"{_said(s, 'FLEET_ADDRESS')} is not an address that other hosts can reach",
            "Set FLEET_ADDRESS to an address of this host that they can reach",
        )


def _said(s: "Settings", name: str) -> str:
    return f"{name}={getattr(s, name.lower())} ({s.sources[name]})"

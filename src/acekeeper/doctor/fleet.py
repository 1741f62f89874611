"""The fleet: the certificate of this host, its address, and whether a server can be reached."""

import socket
from collections.abc import Iterator
from pathlib import Path

from acekeeper.adapters.certificates import days_left
from acekeeper.adapters.ports import present
from acekeeper.doctor.finding import Finding, note, well, wrong
from acekeeper.settings import Settings

_FILES = ("ca.crt", "host.crt", "host.key")
_ENDS_SOON = 30  # days; as the alert has it
_DEPLOY = "Deploy again, to all hosts of the fleet"
_RENEW = "Deploy again, which renews it"
_WITHIN_S = 5.0


def check(settings: Settings) -> Iterator[Finding]:
    if not settings.fleet_name:
        return
    if settings.fleet_certificates is not None:
        yield from _certificates(settings.fleet_certificates)
    yield _address(settings.fleet_address)
    yield from _servers(settings.fleet_servers)


def _certificates(directory: Path) -> Iterator[Finding]:
    paths = {name: directory / name for name in _FILES}
    for path in paths.values():
        try:
            path.open("rb").close()
        except OSError as error:
            yield wrong(f"{path} cannot be read: {error.strerror}", _DEPLOY)
            return
    for name, whose in {"ca.crt": "the fleet's authority", "host.crt": "this host"}.items():
        yield _ends(paths[name], f"the certificate of {whose}")


def _ends(path: Path, what: str) -> Finding:
    try:
        left = days_left(path)
    except (OSError, ValueError) as error:
        return wrong(f"{path} holds no valid certificate ({error})", _DEPLOY)
    if left < 0:
        return wrong(
            f"{what} ended {-left:.0f} days ago: the fleet's servers refuse this host", _RENEW
        )
    if left < _ENDS_SOON:
        return wrong(f"{what} ends in {left:.0f} days", _RENEW)
    return well(f"{what} is valid for {left:.0f} days")


def _address(address: str) -> Finding:
    if present((address,)):
        return well(f"this host has FLEET_ADDRESS={address}, to which the fleet sends players")
    return wrong(
        f"FLEET_ADDRESS={address} is not an address of this host: players of the other hosts cannot"
        " reach it",
        "Wait if it will come (DHCP, a bridge); else correct FLEET_ADDRESS. `ip -brief address`"
        " shows the addresses of this host",
    )


def _servers(servers: tuple[tuple[str, int], ...]) -> Iterator[Finding]:
    said = {f"{address}:{port}": _reach(address, port) for address, port in servers}
    silent = ", ".join(f"{server} ({why})" for server, why in said.items() if why)
    answering = ", ".join(server for server, why in said.items() if not why)
    if not answering:
        yield wrong(
            f"no server of the fleet can be reached: {silent}",
            "Look whether acekeeper-fleet.service runs there, and whether the firewall there lets"
            " this host in. To deploy again, to all hosts of the fleet, mends both",
        )
    elif silent:
        yield note(f"of the fleet's servers only {answering} can be reached, not {silent}", _DEPLOY)
    else:
        yield well(f"the fleet's servers can be reached: {answering}")


def _reach(address: str, port: int) -> str:
    """Why it cannot be; empty if it can."""
    try:
        socket.create_connection((address, port), timeout=_WITHIN_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""

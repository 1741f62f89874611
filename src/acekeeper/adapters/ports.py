"""Which addresses this host has, and whether an engine's ports can be had there: tried by binding
them. Nothing listens there, nothing is sent."""

import errno
import socket

from acekeeper.core.names import Ports
from acekeeper.errors import AddressGone, EngineFailed, PortTaken


def test(ports: Ports, addresses: tuple[str, ...]) -> None:
    """Raises PortTaken when somebody holds one of them. `addresses`: of the HTTP port."""
    wanted = (
        *(("HTTP", ports.http, socket.SOCK_STREAM, address) for address in addresses),
        ("HTTPS", ports.https, socket.SOCK_STREAM, "127.0.0.1"),
        ("API", ports.api, socket.SOCK_STREAM, "127.0.0.1"),
        ("peer-to-peer", ports.p2p, socket.SOCK_STREAM, "0.0.0.0"),
        ("peer-to-peer", ports.p2p, socket.SOCK_DGRAM, "0.0.0.0"),
    )
    for name, port, kind, address in wanted:
        with socket.socket(socket.AF_INET, kind) as tried:
            if kind == socket.SOCK_STREAM:
                # An earlier engine's connections that linger do not hold the port.
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise PortTaken(f"{name} port {port} is taken by another program") from error
                if error.errno == errno.EADDRNOTAVAIL:
                    raise AddressGone(f"{address} is not an address of this host") from error
                raise EngineFailed(
                    f"{name} port {port} cannot be used: {error.strerror}"
                ) from error


def present(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """An address that cannot be tried counts as present."""
    return tuple(address for address in wanted if _is_here(address))


def _is_here(address: str) -> bool:
    try:
        with socket.socket() as tried:
            tried.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True

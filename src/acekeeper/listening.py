"""The sockets of the API and the gateway, made before anything that takes long to load: callers
wait in them, and what is wrong is said at once."""

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from acekeeper.adapters.systemctl import systemctl
from acekeeper.errors import BadSetting

BACKLOG = 2048
GATEWAY = "gateway"  # acekeeper-gateway.socket's FileDescriptorName=
_SOCKET = "acekeeper-gateway.socket"
_IP_FREEBIND = 15  # Linux's; Python does not name it
_TCP_INFO_BYTES, _LAST_DATA_RECEIVED = 104, 52  # of the kernel's struct tcp_info


def bind(host: str, port: int) -> list[socket.socket]:
    """`localhost` is both of its addresses, as far as this machine has them."""
    hosts = ("127.0.0.1", "::1") if host == "localhost" else (host,)
    sockets: list[socket.socket] = []
    try:
        for name in hosts:
            family = socket.AF_INET6 if ":" in name else socket.AF_INET
            try:
                sockets.append(_listen(family, name, port))
            except OSError as error:
                if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue
                raise _cannot_listen(error, name, port) from error
    except BaseException:
        for bound in sockets:
            bound.close()
        raise
    return sockets


class Gateway(NamedTuple):
    """Where players are served; `off` says what keeps them from being served elsewhere."""

    sockets: Sequence[socket.socket] = ()
    off: Sequence[str] = ()


def open_gateway(
    hosts: Sequence[str], port: int, handed: Sequence[socket.socket] | None = None
) -> Gateway:
    """Listens also on addresses that come up later. An address that is taken does not keep the
    service from starting: somebody may run an engine there. `handed`: the sockets of systemd, empty
    if its unit failed; None without systemd."""
    if not port:
        return Gateway()
    if handed:
        return Gateway(handed)
    opened, off = [], []
    for host in hosts:
        try:
            opened.append(_listen(socket.AF_INET, host, port, also_absent=True))
        except OSError as error:
            off.append(_not_served(error, host, port))
    if handed is None:
        return Gateway(opened, off)
    for bound in opened:  # tried only to see who is in the way of the unit
        bound.close()
    says_why = f"`{systemctl('status', _SOCKET)}` says why"
    return Gateway(off=off or [f"{_SOCKET} handed over no socket; {says_why}"])


def _not_served(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another program listens on {host}:{port}; `ss -ltnp sport = :{port}` names it"
    return f"it cannot listen on {host}:{port} ({error.strerror})"


def _listen(
    family: socket.AddressFamily, host: str, port: int, *, also_absent: bool = False
) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if also_absent:
            bound.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _cannot_listen(error: OSError, host: str, port: int) -> BadSetting:
    where = f"APP_HOST={host} APP_PORT={port}"
    if error.errno == errno.EADDRINUSE:
        return BadSetting(
            f"{where}: another program listens there",
            f"`ss -ltnp sport = :{port}` names it; stop it or set APP_PORT to a free port",
        )
    return BadSetting(f"{where}: cannot listen there ({error.strerror})", "Set another one")


def are_loopback(sockets: Sequence[socket.socket]) -> bool:
    return all(is_loopback(str(s.getsockname()[0])) for s in sockets)


def is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def require_key(sockets: Sequence[socket.socket], has_key: bool) -> None:
    """For sockets that were handed over: where they listen is not what our settings say."""
    for inherited in sockets:
        address = str(inherited.getsockname()[0])
        if not has_key and not is_loopback(address):
            raise BadSetting(
                f"the socket handed over listens on {address} and there is no API_KEY",
                "Set API_KEY, or let acekeeper.socket listen on 127.0.0.1 alone",
            )


def since_data_came(connection: socket.socket) -> float:
    """Seconds since the request came: a player that connected while the service was away has
    waited."""
    kernel = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    milliseconds: int = struct.unpack_from("=I", kernel, _LAST_DATA_RECEIVED)[0]
    return milliseconds / 1000

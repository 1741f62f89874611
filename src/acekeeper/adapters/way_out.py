"""How this host gets out: its default route, as the kernel tells it by rtnetlink(7), and its
nameservers.

Only the main table counts, so nothing that a VPN does with rules and tables of its own, nor its
halves of the whole net; and a tunnel's default route only where no other device has one."""

import asyncio
import fcntl
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

from acekeeper.core.way_out import Route, WayOut

_LOOKS_AFTER = 1.0  # what changes comes in pieces: address, route, nameservers
_RESOLV_CONF = Path("/etc/resolv.conf")
_READ_AT_MOST = 1 << 16
_NEW_ADDRESS, _ADDRESSES, _NEW_ROUTE, _ROUTES = 20, 22, 24, 26
_DUMP = 0x301
_DONE, _ERROR = 3, 2
_CHANGES = 0x10 | 0x40 | 0x100 | 0x400  # groups: addresses and routes, of IPv4 and of IPv6
_HEAD = struct.Struct("=IHHII")  # nlmsghdr
_ROUTE = struct.Struct("=BB2xBxxBI")  # rtmsg: family, bits of what it leads to, table, type, flags
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, bits, flags, scope, device
_ATTRIBUTE = struct.Struct("=HH")
_MAIN, _UNICAST, _DEAD = 254, 1, 1
_DEVICE, _GATEWAY, _METRIC, _SOURCE = 4, 5, 6, 7  # attributes of routes
_ITS_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8  # and of addresses
_WHOLE_WORLD = 0  # the scope of an address
# Secondary or temporary (IPv6's privacy), failed, deprecated, tentative.
_NOT_LASTING = 0x01 | 0x08 | 0x20 | 0x40
_REQUEST = struct.Struct("=16sH22x")  # ifreq: a device, and what it is
_HARDWARE, _NONE = 0x8927, 0xFFFE  # SIOCGIFHWADDR; ARPHRD_NONE, of a tunnel

_Attributes = dict[int, bytes]


class _Default(NamedTuple):
    metric: int
    device: str
    number: int
    gateway: bytes
    source: bytes


def look() -> WayOut:
    """Of what cannot be read, nothing is said."""
    try:
        route = _default_route()
    except OSError:
        route = None
    return WayOut(route, _nameservers())


class Watch:
    """Tells the way out soon after the kernel said that routes or addresses change."""

    def __init__(self, tell: Callable[[WayOut], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.TimerHandle | None = None
        self._kernel = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._kernel.bind((0, _CHANGES))
        self._loop.add_reader(self._kernel.fileno(), self._changed)

    def close(self) -> None:
        self._loop.remove_reader(self._kernel.fileno())
        self._kernel.close()
        if self._due is not None:
            self._due.cancel()

    def _changed(self) -> None:
        """What it was is found by the look; messages may have been lost too."""
        try:
            while self._kernel.recv(1 << 16):
                pass
        except OSError:  # no more of them
            pass
        if self._due is None:
            self._due = self._loop.call_later(_LOOKS_AFTER, self._look)

    def _look(self) -> None:
        self._due = None
        self._tell(look())


def _default_route() -> Route | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        found = min(_defaults(family), key=_preference, default=None)
        if found is not None:
            gateway = _text(found.gateway)
            source = found.source or _source(family, found.number, gateway)
            return Route(gateway, found.device, _text(source), family == socket.AF_INET)
    return None


def _preference(route: _Default) -> tuple[bool, int, str, bytes]:
    return _is_tunnel(route.device), route.metric, route.device, route.gateway


def _is_tunnel(device: str) -> bool:
    request = _REQUEST.pack(device.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kernel:
        try:
            return bool(_REQUEST.unpack(fcntl.ioctl(kernel, _HARDWARE, request))[1] == _NONE)
        except OSError:  # gone meanwhile
            return False


def _defaults(family: int) -> Iterator[_Default]:
    for body in _dump(_ROUTES, _NEW_ROUTE, bytes([family]).ljust(_ROUTE.size, b"\0")):
        its_family, bits, table, kind, flags = _ROUTE.unpack_from(body)
        usable = kind == _UNICAST and not flags & _DEAD
        if its_family != family or bits or table != _MAIN or not usable:
            continue
        of_it = _attributes(body, _ROUTE.size)
        number = int.from_bytes(of_it.get(_DEVICE, b""), sys.byteorder)  # 0 of a route by many ways
        try:
            device = socket.if_indextoname(number) if number else ""
        except OSError:
            continue  # gone meanwhile
        metric = int.from_bytes(of_it.get(_METRIC, b""), sys.byteorder)
        yield _Default(metric, device, number, of_it.get(_GATEWAY, b""), of_it.get(_SOURCE, b""))


def _source(family: int, device: int, gateway: str) -> bytes:
    """The lasting address of that device in the network of the gateway, or the first it has."""
    found: list[tuple[bool, bytes]] = []
    for body in _dump(_ADDRESSES, _NEW_ADDRESS, bytes([family]).ljust(_ADDRESS.size, b"\0")):
        its_family, bits, flags, scope, its_device = _ADDRESS.unpack_from(body)
        if (its_family, its_device, scope) != (family, device, _WHOLE_WORLD):
            continue
        of_it = _attributes(body, _ADDRESS.size)
        flags |= int.from_bytes(of_it.get(_FLAGS, b""), sys.byteorder)
        address = of_it.get(_LOCAL) or of_it.get(_ITS_ADDRESS, b"")
        if not flags & _NOT_LASTING:
            network = ipaddress.ip_network(f"{_text(address)}/{bits}", strict=False)
            far = not gateway or ipaddress.ip_address(gateway) not in network
            found.append((far, address))
    return min(found, default=(True, b""))[1]


def _dump(question: int, answer: int, body: bytes) -> Iterator[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(_HEAD.pack(_HEAD.size + len(body), question, _DUMP, 0, 0) + body)
        while True:
            said, at = kernel.recv(1 << 16), 0
            while at < len(said):
                size, kind, *_ = _HEAD.unpack_from(said, at)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    code = struct.unpack_from("=i", said, at + _HEAD.size)[0]
                    raise OSError(-code, f"rtnetlink: {os.strerror(-code)}")
                if kind == answer:
                    yield said[at + _HEAD.size : at + size]
                at += _aligned(size)


def _attributes(body: bytes, at: int) -> _Attributes:
    found: _Attributes = {}
    while at + _ATTRIBUTE.size <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, at)
        found[kind] = body[at + _ATTRIBUTE.size : at + size]
        at += _aligned(max(size, _ATTRIBUTE.size))
    return found


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address)) if address else ""


def _nameservers() -> tuple[str, ...]:
    """Those of IPv4, as IPv6's come and go with router advertisements; these where there are no
    others."""
    try:
        with _RESOLV_CONF.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_READ_AT_MOST).splitlines()
    except OSError:
        return ()
    words = (line.split() for line in lines)
    named = (w[1] for w in words if len(w) > 1 and w[0] == "nameserver")
    found = [address for name in named if (address := _address(name)) is not None]
    ipv4 = [address for address in found if isinstance(address, IPv4Address)]
    return tuple(map(str, ipv4 or found))


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None

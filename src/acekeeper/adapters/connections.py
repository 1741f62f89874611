"""The connections to the engines, as the kernel lists them: from this host or another, from a
container or another network namespace. The listening end counts, since that one is always here.

The kernel is asked as `ss` asks it, by sock_diag(7): /proc/net/tcp has a line for every connection
that is closed as well, of which there may be ten thousands."""

import os
import socket
import stat
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

from acekeeper.errors import RuntimeUnavailable

_SOCK_DIAG, _BY_FAMILY, _DUMP = 4, 20, 0x301
_HEAD = struct.Struct("=IHHII")  # nlmsghdr: its length and kind come first
_QUESTION = struct.Struct("=BBBxI48x")  # inet_diag_req_v2
_SOCKET = struct.Struct("=xBBB2s2s16s16s28xI")  # inet_diag_msg
_ESTABLISHED, _TIME_WAIT, _LISTENING = 1, 6, 10
_OPEN = 0xFFF & ~(1 << _TIME_WAIT)
_V4_IN_V6 = bytes(10) + b"\xff\xff"
# A television that is switched off stays connected for a quarter of an hour. By the timer that
# runs: so often something was sent again, or probed for, and never acknowledged.
_LOST = {1: 6, 2: 4, 4: 4}

_Socket = tuple[int, int, int, bytes, bytes, bytes, bytes, int]
Found = dict[int, frozenset[str]]


def of_others(ports: Collection[int]) -> Found:
    """The connections to each of these ports of this host, by the addresses of their far ends, but
    for those of this process and those whose far end is gone. Blocks for a millisecond or two.
    RuntimeUnavailable: the kernel does not tell."""
    try:
        return _of_others(ports)
    except OSError as error:
        raise RuntimeUnavailable(
            f"the kernel does not tell who is connected to engines: {error.strerror}",
            "As root, run `modprobe tcp_diag`",
        ) from error


def _of_others(ports: Collection[int]) -> Found:
    before = _our_sockets()  # of which some may be closed by the time the kernel is asked
    wanted = {port.to_bytes(2, "big"): port for port in ports}
    ends: dict[int, list[str]] = {port: [] for port in ports}
    here: dict[str, tuple[int, int]] = {}  # the far ends that are on this host
    listening = set[int]()
    for family in (socket.AF_INET, socket.AF_INET6):
        for state, timer, times, at, far_at, local, remote, inode in _open(family):
            port = wanted.get(at)
            if port is None:
                if far_at in wanted:
                    here[_name(local, at)] = state, inode
            elif state == _LISTENING:
                listening.add(port)
            elif state == _ESTABLISHED and times < _LOST.get(timer, 1):
                ends[port].append(_name(remote, far_at))
    ours = before | _our_sockets() if any(ends.values()) else before

    def is_others(remote: str) -> bool:
        state, inode = here.get(remote, (_ESTABLISHED, -1))
        return state == _ESTABLISHED and inode not in ours

    return {
        port: frozenset(r for r in far if port in listening and is_others(r))
        for port, far in ends.items()
    }


def has_others(port: int) -> bool:
    """Whether another process has a connection open to this port of this host."""
    return bool(of_others({port})[port])


def _open(family: int) -> Iterator[_Socket]:
    """TCP's: state, the timer that runs, how often it ran out, both ports and addresses, inode."""
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _OPEN)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.send(_HEAD.pack(_HEAD.size + len(question), _BY_FAMILY, _DUMP, 0, 0) + question)
        while True:
            answer, at = kernel.recv(1 << 16), 0
            while at < len(answer):
                size, kind, *_ = _HEAD.unpack_from(answer, at)
                at += _HEAD.size
                if kind != _BY_FAMILY:  # the end, or an error
                    if (code := struct.unpack_from("=i", answer, at)[0]) < 0:
                        raise OSError(-code, f"sock_diag: {os.strerror(-code)}")
                    return
                yield _SOCKET.unpack_from(answer, at)
                at += size - _HEAD.size


def _name(address: bytes, port: bytes) -> str:
    if address.startswith(_V4_IN_V6):
        address = address[12:] + bytes(12)
    return (address + port).hex()


def _our_sockets() -> set[int]:
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found = os.fstat(int(link.name))
        except OSError:
            continue  # closed meanwhile
        if stat.S_ISSOCK(found.st_mode):
            inodes.add(found.st_ino)
    return inodes

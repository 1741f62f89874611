"""The connections to the engines in the kernel's table: from this host or another, from a container
or another network namespace. The listening end counts, since that one is always here."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")
_ESTABLISHED, _LISTENING = "01", "0A"
_V4_IN_V6 = "0000000000000000FFFF0000"
# A television that is switched off stays connected for a quarter of an hour.
_REPEATED = 6  # times that something was sent again, and not acknowledged
_UNANSWERED = 4  # probes in a row

Found = dict[int, frozenset[str]]


class _Row(NamedTuple):
    """One end of a connection: its own address, the other's, and the socket's inode."""

    local: str
    remote: str
    state: str
    inode: str
    is_lost: bool


def of_others(ports: Collection[int]) -> Found:
    """The connections to each of these ports of this host, by the addresses of their far ends, but
    for those of this process and those whose far end is gone. Blocks for some milliseconds."""
    before = _our_sockets()  # of which some may be closed by the time the table is read
    wanted = {f":{port:04X}": port for port in ports}
    ends: dict[int, list[_Row]] = {port: [] for port in ports}
    here: dict[str, _Row] = {}  # the far ends that are on this host
    listening = set[int]()
    for row in _rows(wanted):
        port = wanted.get(row.local[-5:])
        if port is None:
            here[row.local] = row
        elif row.state == _LISTENING:
            listening.add(port)
        elif row.state == _ESTABLISHED and not row.is_lost:
            ends[port].append(row)
    ours = before | _our_sockets() if any(ends.values()) else before

    def is_others(remote: str) -> bool:
        caller = here.get(remote)
        return caller is None or (caller.state == _ESTABLISHED and caller.inode not in ours)

    return {
        port: frozenset(r.remote for r in rows if port in listening and is_others(r.remote))
        for port, rows in ends.items()
    }


def has_others(port: int) -> bool:
    """Whether another process has a connection open to this port of this host."""
    return bool(of_others({port})[port])


def _rows(wanted: Collection[str]) -> Iterator[_Row]:
    """Those with one of these ports at either end. There may be ten thousands of others."""
    for table in ("tcp", "tcp6"):
        try:
            text = (_PROC / "net" / table).read_text()
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in text.splitlines()[1:]:
            _, local, remote, _ = line.split(None, 3)
            if local[-5:] in wanted or remote[-5:] in wanted:
                yield _row(line.split())


def _row(fields: list[str]) -> _Row:
    _, local, remote, state, queues, _, repeated, _, probes, inode = fields[:10]
    waits = not queues.startswith("00000000:")
    return _Row(
        local.removeprefix(_V4_IN_V6),
        remote.removeprefix(_V4_IN_V6),
        state,
        inode,
        is_lost=(waits and int(repeated, 16) >= _REPEATED) or int(probes) >= _UNANSWERED,
    )


def _our_sockets() -> set[str]:
    inodes = set()
    for link in (_PROC / "fd").iterdir():
        try:
            found = os.fstat(int(link.name))
        except OSError:
            continue  # closed meanwhile
        if stat.S_ISSOCK(found.st_mode):
            inodes.add(str(found.st_ino))
    return inodes

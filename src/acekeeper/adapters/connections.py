"""Who is connected to an engine, as the kernel tells."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")
_ESTABLISHED = "01"
_V4_IN_V6 = "0000000000000000FFFF0000"


class _End(NamedTuple):
    """One end of a connection: its own address, the other's, and the socket's inode."""

    local: str
    remote: str
    inode: str


def has_others(port: int) -> bool:
    """Whether another process has a connection open to this port of this host."""
    before = _our_sockets()  # of which some may be closed by the time the table is read
    ends = [end for table in ("tcp", "tcp6") for end in _established(table)]
    here = {end.local for end in ends}
    callers = {
        end.inode for end in ends if end.remote in here and end.remote.endswith(f":{port:04X}")
    }
    return bool(callers - before - _our_sockets())


def _established(table: str) -> Iterator[_End]:
    try:
        lines = (_PROC / "net" / table).read_text().splitlines()[1:]
    except FileNotFoundError:
        return  # a kernel without IPv6
    for line in lines:
        fields = line.split()
        if fields[3] == _ESTABLISHED:
            local, remote = (address.removeprefix(_V4_IN_V6) for address in fields[1:3])
            yield _End(local, remote, fields[9])


def _our_sockets() -> set[str]:
    inodes = set()
    for link in (_PROC / "fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    return inodes
